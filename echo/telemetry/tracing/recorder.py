"""What the traces of calls and of requests have in common: a span, which of them is current, and where it goes.

A span of OpenTelemetry's SDK costs 9.5 us, a tenth of what serving a call does. So `Span` is one of our own, by the
interface that OpenTelemetry's API has for it. A handler finds it by ``opentelemetry.trace.get_current_span()`` and may
give it attributes and events; spans that it starts by an SDK of its own are parts of it.
"""

import random
import struct
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from itertools import chain, repeat
from time import time_ns
from typing import Final, cast

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
from echo.telemetry.tracing.propagation import Parent, Propagation, read_together
from echo.telemetry.tracing.protobuf import attribute, event
from echo.telemetry.tracing.sampling import Sampling
from echo.telemetry.tracing.spans import Ended, wall, whole

__all__ = ["Recorder", "Span", "current", "current_ids"]

MOST: Final = 128  # Events, and attributes that a handler adds: OpenTelemetry's own default.
LONGEST: Final = 1024  # Characters of one of those.
AT_ONCE: Final = 128  # Ids that are made together.

_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))  # Where a context has its span.


def _attacher() -> Callable[[Context], object]:
    """What makes a context current: `attach` less the two calls that it takes for that, where it sets a variable."""
    mark = Context()

    def find() -> Callable[[Context], object]:
        attach(mark)
        return next((variable.set for variable, value in copy_context().items() if value is mark), attach)

    return copy_context().run(find)


_attach: Final = cast("Callable[[Span], object]", _attacher())


def _ids(size: int) -> Iterator[bytes]:
    """Random ids of so many bytes, which are no secrets. Zero, which is not an id, is one in 2**64."""
    split = struct.Struct(f"{size}s" * AT_ONCE).unpack
    return chain.from_iterable(split(random.randbytes(size * AT_ONCE)) for _ in repeat(None))  # noqa: S311


class Recorder:
    """Begins spans, and takes those that have ended.

    Attributes:
        propagation: How the context of a trace travels.
        take: Takes a span that has ended.
        samples_all: `begin_sampled` may be called: what is not said to be unsampled is recorded.
    """

    def __init__(self, batches: Batches[Ended], sampling: Sampling, propagation: Propagation) -> None:
        self.propagation = propagation
        self.take = batches.put
        self._wants = sampling.wants
        self._follows_parent = sampling.follows_parent
        self._root = sampling.root
        self.samples_all = propagation.by_traceparent and sampling.follows_parent and sampling.root is True
        # Python seeds its generator anew in a child process; so each has a recorder of its own.
        self._trace_ids = _ids(16)
        self._span_ids = _ids(8)

    def begin(self, span: "Span", parent: Parent | None, name: str, kind: SpanKind, start: float) -> None:
        """Begin a span. Where neither it nor what it is part of is recorded, it stands for that, under its ids.

        Args:
            span: A new one.
            parent: What it is part of; None if a trace begins with it.
            name: For the sampler to decide by.
            kind: Which side of a call it is.
            start: When, on the event loop's clock.
        """
        span.take = self.take
        span.parent = parent
        span.more = span.unread = None
        if parent is None:
            span.trace_id = trace_id = next(self._trace_ids)
            recorded = self._root
            if recorded is None:
                recorded = self._wants(None, trace_id, name, kind)
            span.span_id = next(self._span_ids)
        else:
            span.trace_id = trace_id = parent.trace_id
            recorded = parent.sampled
            if not self._follows_parent:
                recorded = self._wants(parent, trace_id, name, kind)
            span.span_id = next(self._span_ids) if recorded or parent.sampled else parent.span_id
        span.recorded = recorded
        span.start = start

    def begin_sampled(self, span: "Span", header: str | None, start: float) -> None:
        """Begin a span that is recorded, with a ``traceparent`` that is `likely` and may yet be unsound, or without."""
        span.take = self.take
        span.parent = span.more = None
        span.unread = header
        span.trace_id, span.span_id = next(self._trace_ids), next(self._span_ids)
        span.recorded = True
        span.start = start


class Span(ApiSpan, Mapping[str, object]):
    """A span, which a `Recorder` begins; and what is current in a task that it is entered in.

    Attributes:
        recorded: It will be told of.
        trace_id: Of sixteen bytes,
        span_id: and of eight.
        parent: What it is part of; None if a trace begins with it.
        unread: What says so and was not read yet, as mostly nobody asks before the span is encoded; else None.
        start: When it began, on the event loop's clock,
        since: and in nanoseconds since 1970, where something happened in it.
        more: Events, and what a handler has said; None for nothing.
        take: Takes it when it is over.
    """

    __slots__ = ("more", "parent", "recorded", "since", "span_id", "start", "take", "trace_id", "unread")

    recorded: bool
    trace_id: bytes
    span_id: bytes
    parent: Parent | None
    unread: str | None
    start: float
    since: int
    more: list[bytes] | None
    take: Callable[[Ended], None]

    _api: SpanContext | None = None

    @property
    def ids(self) -> tuple[str, str | None]:
        """Of the trace and, if it is recorded, of the span, in hexadecimal."""
        self._read()
        return self.trace_id.hex(), self.span_id.hex() if self.recorded else None

    def as_parent(self) -> Parent:
        """It as what others are part of."""
        self._read()
        state = None if self.parent is None else self.parent.state
        return Parent(self.trace_id, self.span_id, self.recorded, state, remote=False)

    def enter(self) -> None:
        """Be what is current in this task, by `opentelemetry.context`, and in those that it starts from now on."""
        _attach(self)

    def happened(self, name: str, cause: str = "") -> None:
        """Something happened now."""
        if self.recorded:
            now = time_ns()
            self._add(event(name, now, cause), now)

    def finish(self, told: bytes) -> None:
        """It is over. For a span that is recorded, once.

        Args:
            told: Its name, its kind, what it tells of itself and, if it failed, its status.
        """
        self._read()
        start = wall(self.start) if self.more is None else self.since
        span = whole(self.parent, self.trace_id, self.span_id, start, time_ns(), told)
        self.take(span if self.more is None else span + b"".join(self.more))

    def _read(self) -> None:
        if self.unread is not None:
            (ids,) = read_together([self.unread])
            self.unread = None
            if ids is not None:
                self.parent = Parent(*ids, sampled=True)
                self.trace_id = self.parent.trace_id

    def _add(self, piece: bytes, now: int) -> None:
        if self.more is None:
            self.more = [piece]
            self.since = min(wall(self.start), now)  # A test's clock may stand still.
        elif len(self.more) < MOST:
            self.more.append(piece)

    # A span is a context of its own, with nothing else in it: so every call has one object less.

    def __getitem__(self, key: str) -> object:
        return self.copy()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return 1

    def copy(self) -> dict[str, object]:
        """What OpenTelemetry's API makes other contexts of."""
        return {_KEY: self}

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    # OpenTelemetry's interface, for handlers.

    def get_span_context(self) -> SpanContext:  # noqa: D102 - As in OpenTelemetry's API, and so are these.
        if self._api is None:
            self._read()
            state = None if self.parent is None else self.parent.state
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
            self._add(
                attribute(key, value if isinstance(value, bool | int | float) else str(value)[:LONGEST]), time_ns()
            )

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:  # noqa: D102
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:  # noqa: D102
        if self.recorded:
            said = ", ".join(f"{key}={value!s}" for key, value in (attributes or {}).items())
            now = timestamp or time_ns()
            self._add(event(name[:LONGEST], now, said[:LONGEST]), now)

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
