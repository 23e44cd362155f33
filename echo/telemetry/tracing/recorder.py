"""What the traces of calls and of requests have in common: ids, the current context, and where spans go."""

import random
from time import time_ns
from typing import Final

from opentelemetry.context import Context, attach
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    get_current_span,
    set_span_in_context,
)

from echo.telemetry.tracing.batches import Batches
from echo.telemetry.tracing.propagation import NOT_SAMPLED, SAMPLED, Get, Propagation
from echo.telemetry.tracing.protobuf import event, flags, head, tracestate
from echo.telemetry.tracing.sampling import Sampling

__all__ = ["Recorder", "Span", "current", "current_ids"]

MOST_EVENTS: Final = 128  # OpenTelemetry's own default (OTEL_SPAN_EVENT_COUNT_LIMIT).
_EMPTY: Final = Context()


class Recorder:
    """Begins spans, and takes those that have ended.

    Attributes:
        propagation: How the context of a trace travels.
    """

    def __init__(self, batches: Batches, sampling: Sampling, propagation: Propagation) -> None:
        self.propagation = propagation
        self._sampling = sampling
        self._put = batches.put

    def context(self, parent: SpanContext | None, name: str, kind: SpanKind) -> SpanContext:
        """The context of a span that begins; whether it is sampled says whether it is to be recorded.

        Where neither it nor what called is recorded, it is that of what called.
        """
        if parent is None:
            trace_id, state = random.getrandbits(128) or 1, None
        else:
            trace_id, state = parent.trace_id, parent.trace_state
        sampled = self._sampling.wants(parent, trace_id, name, kind)
        if not sampled and parent is not None and not parent.trace_flags & 1:
            return parent
        # Not for secrets; and Python seeds it anew in a child process.
        return SpanContext(trace_id, random.getrandbits(64) or 1, False, SAMPLED if sampled else NOT_SAMPLED, state)

    def begin(self, get: Get, name: str, kind: SpanKind) -> "Span":
        """A span for what somebody asks of us; ``get`` gives the headers of that."""
        parent = self.propagation.read(get)
        return Span(self, self.context(parent, name, kind), parent)

    def take(self, span: bytes) -> None:
        """A span has ended."""
        self._put(span)


class Span:
    """A span, recorded if its context is sampled.

    Attributes:
        context: Its ids.
        recorded: It will be told of.
        parent: The context of what it is part of; None if the trace begins with it.
    """

    __slots__ = ("_events", "_recorder", "_start", "context", "parent", "recorded")

    def __init__(self, recorder: Recorder, context: SpanContext, parent: SpanContext | None) -> None:
        self.context = context
        self.parent = parent
        self.recorded = bool(context.trace_flags & 1)
        self._recorder = recorder
        self._start = time_ns()
        self._events: list[bytes] | None = None

    @property
    def ids(self) -> tuple[str, str | None]:
        """Of the trace and, if it is recorded, of the span, in hexadecimal."""
        context = self.context
        return f"{context.trace_id:032x}", f"{context.span_id:016x}" if self.recorded else None

    def enter(self) -> None:
        """Be what is current in this task, by `opentelemetry.context`, and in those that it starts from now on."""
        attach(set_span_in_context(NonRecordingSpan(self.context), _EMPTY))

    def happened(self, name: str, cause: str = "") -> None:
        """Something happened now."""
        if self.recorded:
            if self._events is None:
                self._events = [event(name, time_ns(), cause)]
            elif len(self._events) < MOST_EVENTS:
                self._events.append(event(name, time_ns(), cause))

    def end(self, *pieces: bytes) -> None:
        """It is over; what is said of it besides is in the pieces. For a span that is recorded, once."""
        context, parent = self.context, self.parent
        trace_id = context.trace_id.to_bytes(16, "big")
        span_id = context.span_id.to_bytes(8, "big")
        above = None if parent is None else parent.span_id.to_bytes(8, "big")
        found = [head((trace_id, span_id), above, self._start, time_ns()), *pieces]
        if self._events is not None:
            found += self._events
        found.append(REMOTE if parent is not None and parent.is_remote else LOCAL)
        if context.trace_state:
            found.append(tracestate(context.trace_state.to_header()))
        self._recorder.take(b"".join(found))


REMOTE: Final = flags(remote_parent=True)
LOCAL: Final = flags(remote_parent=False)


def current() -> SpanContext | None:
    """The context of the span that is current in this task; None if there is none."""
    context = get_current_span().get_span_context()
    return context if context.is_valid else None


def current_ids() -> tuple[str, str | None] | None:
    """Its ids, for the log; that of the span if it is recorded."""
    context = current()
    if context is None:
        return None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}" if context.trace_flags & 1 else None
