"""A span of ours, and which span is current.

A span of OpenTelemetry's SDK takes 9.5 us, a third of the time that serving a call takes. `Span` is our own
implementation of the interface in OpenTelemetry's API. A handler gets it from
``opentelemetry.trace.get_current_span()`` and may add attributes and events to it. It is the parent of spans that the
handler starts with an SDK.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from time import time_ns
from typing import Final, cast

from opentelemetry import context as api_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.util.types import Attributes, AttributeValue

from echo.telemetry.tracing.propagation import Parent
from echo.telemetry.tracing.protobuf import Value, attribute, event
from echo.telemetry.tracing.spans import Ended, wall, whole

__all__ = ["SPAN_ID", "Span", "SpanContextual", "attach", "current", "current_ids"]

log = logging.getLogger(__name__)

MAX_PIECES: Final = 128  # Events and attributes that a handler adds; OpenTelemetry's own default.
MAX_TEXT: Final = 1024  # Characters of each.
SPAN_ID: Final = slice(8, 16)  # Where a seed has the id of its span.

_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))  # The key of the span in a context.


class SpanContextual(Mapping[str, object]):
    """An OpenTelemetry context that contains nothing but a span. It saves making a `Context` and a dictionary."""

    __slots__ = ()

    @abstractmethod
    def span(self) -> "Span | None":
        """The span, which may be made now; None if there is none."""

    def copy(self) -> dict[str, object]:
        """What OpenTelemetry's API makes further contexts of."""
        span = self.span()
        return {} if span is None else {_KEY: span}

    def __getitem__(self, key: str) -> object:
        return self.copy()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def __bool__(self) -> bool:
        return True

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def _attacher() -> Callable[[Context], object]:
    """What makes a context current: the API's own function, or the ``set`` of its context variable, which is faster."""
    mark = Context()

    def find() -> Callable[[Context], object]:
        api_context.attach(mark)
        return next((variable.set for variable, value in copy_context().items() if value is mark), api_context.attach)

    return copy_context().run(find)


attach: Final = cast("Callable[[SpanContextual], object]", _attacher())
"""Makes a context current in the calling task, and in the tasks that it starts from now on."""


class Span(ApiSpan, SpanContextual):
    """A span; `Recorder.begin` begins it.

    Attributes:
        recorded: Whether it will be exported.
        seed: Sixteen random bytes. The last eight are the span's id; if a trace begins with it, all are the trace's.
        trace_id: The trace's id, 16 bytes.
        span_id: The span's id, 8 bytes.
        parent: Its parent; None if a trace begins with it.
        start: When it began, on the event loop's clock.
        since: The same in nanoseconds since 1970; set with the first of ``more``.
        more: Encoded events, and attributes that a handler has added; None for none.
        take: Called with the span when it has ended.
    """

    __slots__ = ("more", "parent", "recorded", "seed", "since", "span_id", "start", "take", "trace_id")

    recorded: bool
    seed: bytes
    trace_id: bytes
    span_id: bytes
    parent: Parent | None
    start: float
    since: int
    more: list[bytes] | None
    take: Callable[[Ended], None]

    _api: SpanContext | None = None

    def span(self) -> "Span":
        """Itself."""
        return self

    @property
    def ids(self) -> tuple[str, str | None]:
        """The trace id and, if it is recorded, the span id, in hexadecimal."""
        return self.trace_id.hex(), self.span_id.hex() if self.recorded else None

    def as_parent(self) -> Parent:
        """This span as the parent of others."""
        state = None if self.parent is None else self.parent.state
        return Parent(self.trace_id, self.span_id, self.recorded, state, remote=False)

    def enter(self) -> None:
        """Make it the current span of this task, and of tasks that it starts from now on."""
        attach(self)

    def happened(self, name: str, cause: str = "") -> None:
        """Add an event that happens now."""
        if self.recorded:
            now = time_ns()
            self._add(event(name, now, cause), now)

    def finish(self, told: bytes) -> None:
        """End a span that is recorded. Call it once.

        Args:
            told: The encoded name, kind and attributes, and the status if it failed.
        """
        start = wall(self.start) if self.more is None else self.since
        span = whole(self.parent, self.trace_id, self.span_id, start, time_ns(), told)
        self.take(span if self.more is None else span + b"".join(self.more))

    def _add(self, piece: bytes, now: int) -> None:
        """Add an encoded event or attribute; ``now`` is the time."""
        if self.more is None:
            self.more = [piece]
            self.since = min(wall(self.start), now)  # A test's clock may stand still.
        elif len(self.more) < MAX_PIECES:
            self.more.append(piece)

    # OpenTelemetry's interface, for handlers.

    def get_span_context(self) -> SpanContext:  # noqa: D102 - as in OpenTelemetry's API, like the following ones.
        if self._api is None:
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
            with _harmless():
                self._add(attribute(str(key)[:MAX_TEXT], _bounded(value)), time_ns())

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:  # noqa: D102
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:  # noqa: D102
        if self.recorded:
            with _harmless():
                said = ", ".join(f"{key}={value!s}" for key, value in (attributes or {}).items())
                now = time_ns()
                self._add(event(name[:MAX_TEXT], int(timestamp or now), said[:MAX_TEXT]), now)

    def record_exception(  # noqa: D102
        self,
        exception: BaseException,
        attributes: Attributes = None,  # noqa: ARG002
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: ARG002
    ) -> None:
        with _harmless():
            self.add_event("exception", {type(exception).__qualname__: str(exception)}, timestamp)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Do nothing: the span's status is its call's."""

    def update_name(self, name: str) -> None:
        """Do nothing: the span's name is its method's."""

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the span ends with its call."""


@contextmanager
def _harmless() -> Iterator[None]:
    """Leave out what a handler's attribute or event cannot be made of: it must not fail the call."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - values have methods of their own
        log.warning("an attribute or event could not be added to a span: %s", type(error).__name__)


def _bounded(value: AttributeValue) -> Value | Sequence[Value]:
    """The value as it is exported, with at most `MAX_TEXT` characters in all and `MAX_PIECES` items."""
    if isinstance(value, list | tuple):
        items = value[:MAX_PIECES]
        return [_simple(item, MAX_TEXT // len(items)) for item in items]
    return _simple(value, MAX_TEXT)


def _simple(value: object, most: int) -> Value:
    if isinstance(value, bool | float) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return value
    return (value if isinstance(value, str) else str(value))[:most]  # Of an enumeration's member, its value.


def current() -> Parent | None:
    """The current span of this task, as the parent of others; None if there is none."""
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
    """The ids of the current span, for the log: of its trace and, if it is recorded, its own."""
    span = current()
    return None if span is None else (span.trace_id.hex(), span.span_id.hex() if span.sampled else None)
