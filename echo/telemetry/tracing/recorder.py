"""What the traces of calls and of requests have in common: a span, which of them is current, and where it goes.

A span of OpenTelemetry's SDK costs 9.5 us, a tenth of what serving a call does. So `Span` is one of our own, by the
interface that OpenTelemetry's API has for it. A handler finds it by ``opentelemetry.trace.get_current_span()`` and may
give it attributes and events; spans that it starts by an SDK of its own are parts of it.
"""

import random
from collections.abc import Mapping
from time import time_ns
from typing import Final

from opentelemetry.context import Context, attach
from opentelemetry.trace import (
    INVALID_SPAN,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.util.types import Attributes, AttributeValue

from echo.telemetry.tracing.batches import Batches
from echo.telemetry.tracing.propagation import Parent, Propagation
from echo.telemetry.tracing.protobuf import attribute, event, flags, head, tracestate
from echo.telemetry.tracing.sampling import Sampling

__all__ = ["Recorder", "Span", "current", "current_ids"]

MOST: Final = 128  # Events, and attributes that a handler adds: OpenTelemetry's own default.
LONGEST: Final = 1024  # Characters of one of those.

_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))  # Where a context has its span.
_REMOTE: Final = flags(remote_parent=True)
_LOCAL: Final = flags(remote_parent=False)


class Recorder:
    """Begins spans, and takes those that have ended.

    Attributes:
        propagation: How the context of a trace travels.
        wants: Whether a trace is recorded, as `Sampling.wants`,
        follows_parent: and whether that needs no asking where it has begun elsewhere.
        take: Takes a span that has ended.
    """

    def __init__(self, batches: Batches, sampling: Sampling, propagation: Propagation) -> None:
        self.propagation = propagation
        self.wants = sampling.wants
        self.follows_parent = sampling.follows_parent
        self.take = batches.put


class Span(ApiSpan):
    """A span that begins.

    Where neither it nor what it is part of is recorded, it stands for that, under its ids.

    Args:
        recorder: Whose it is.
        parent: What it is part of; None if a trace begins with it.
        name: For the sampler to decide by.
        kind: Which side of a call it is.

    Attributes:
        recorded: It will be told of.
        trace_id: Of sixteen bytes,
        span_id: and of eight.
    """

    _more: list[bytes] | None = None  # Events, and what a handler has said.
    _api: SpanContext | None = None

    def __init__(self, recorder: Recorder, parent: Parent | None, name: str, kind: SpanKind) -> None:
        # Ids are no secrets; and Python seeds its generator anew in a child process.
        if parent is None:
            self.trace_id = (random.getrandbits(128) or 1).to_bytes(16, "big")
            recorded = recorder.wants(None, self.trace_id, name, kind)
        else:
            self.trace_id, recorded = parent.trace_id, parent.sampled
            if not recorder.follows_parent:
                recorded = recorder.wants(parent, self.trace_id, name, kind)
        self.recorded = recorded
        if recorded or parent is None or parent.sampled:
            self.span_id = (random.getrandbits(64) or 1).to_bytes(8, "big")
        else:
            self.span_id = parent.span_id
        self._take = recorder.take
        self._parent = parent
        self._start = time_ns()

    @property
    def ids(self) -> tuple[str, str | None]:
        """Of the trace and, if it is recorded, of the span, in hexadecimal."""
        return self.trace_id.hex(), self.span_id.hex() if self.recorded else None

    def as_parent(self) -> Parent:
        """It as what others are part of."""
        state = None if self._parent is None else self._parent.state
        return Parent(self.trace_id, self.span_id, self.recorded, state, remote=False)

    def enter(self) -> None:
        """Be what is current in this task, by `opentelemetry.context`, and in those that it starts from now on."""
        attach(Context({_KEY: self}))

    def happened(self, name: str, cause: str = "") -> None:
        """Something happened now."""
        if self.recorded:
            self._add(event(name, time_ns(), cause))

    def finish(self, told: bytes) -> None:
        """It is over. For a span that is recorded, once.

        Args:
            told: Its name, its kind, what it tells of itself and, if it failed, its status.
        """
        parent = self._parent
        if parent is None:
            found = head(self.trace_id, self.span_id, None, self._start, time_ns()) + told + _LOCAL
        else:
            begun = head(self.trace_id, self.span_id, parent.span_id, self._start, time_ns())
            found = begun + told + (_REMOTE if parent.remote else _LOCAL)
            if parent.state is not None:
                found += tracestate(parent.state)
        if self._more is not None:
            found += b"".join(self._more)
        self._take(found)

    def _add(self, piece: bytes) -> None:
        if self._more is None:
            self._more = [piece]
        elif len(self._more) < MOST:
            self._more.append(piece)

    # OpenTelemetry's interface, for handlers.

    def get_span_context(self) -> SpanContext:  # noqa: D102 - As in OpenTelemetry's API, and so are these.
        if self._api is None:
            state = None if self._parent is None else self._parent.state
            self._api = SpanContext(
                int.from_bytes(self.trace_id, "big"),
                int.from_bytes(self.span_id, "big"),
                is_remote=False,
                trace_flags=TraceFlags(self.recorded),
                trace_state=None if state is None else TraceState.from_header([state]),
            )
        return self._api

    def is_recording(self) -> bool:  # noqa: D102
        return self.recorded

    def set_attribute(self, key: str, value: AttributeValue) -> None:  # noqa: D102
        if self.recorded:
            self._add(attribute(key, value if isinstance(value, bool | int | float) else str(value)[:LONGEST]))

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:  # noqa: D102
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:  # noqa: D102
        if self.recorded:
            said = ", ".join(f"{key}={value!s}" for key, value in (attributes or {}).items())
            self._add(event(name[:LONGEST], timestamp or time_ns(), said[:LONGEST]))

    def record_exception(  # noqa: D102
        self,
        exception: BaseException,
        attributes: Attributes = None,  # noqa: ARG002
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: ARG002
    ) -> None:
        self.add_event("exception", {type(exception).__qualname__: str(exception)}, timestamp)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Nothing: the status of a call is its own."""

    def update_name(self, name: str) -> None:
        """Nothing: the name of a call is its method's."""

    def end(self, end_time: int | None = None) -> None:
        """Nothing: it ends with its call."""


def current() -> Parent | None:
    """The span that is current in this task; None if there is none."""
    span = get_current_span()
    if isinstance(span, Span):
        return span.as_parent()
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return Parent(
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
        context.trace_flags.sampled,
        context.trace_state.to_header() or None,
        remote=False,
    )


def current_ids() -> tuple[str, str | None] | None:
    """Its ids, for the log; that of the span if it is recorded."""
    span = current()
    return None if span is None else (span.trace_id.hex(), span.span_id.hex() if span.sampled else None)
