"""The context of a trace in headers and metadata: W3C Trace Context's form, and Zipkin's B3.

OpenTelemetry's own propagators do the same, at five times the cost, which calls that are not sampled would pay as well.
"""

import re
from collections.abc import Callable, Collection
from typing import Final, TypeAlias

from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from echo.wire import Metadata

__all__ = ["Propagation"]

Get: TypeAlias = Callable[[str], str | bytes | None]
"""The value of the header of this name, in lower case; None without."""

_TRACEPARENT: Final = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_B3: Final = re.compile(r"((?:[0-9a-fA-F]{16}){1,2})-([0-9a-fA-F]{16})(?:-([01d])(?:-[0-9a-fA-F]{16})?)?", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{16}){1,2}", re.ASCII)
_MOST: Final = 512  # Characters of a tracestate (W3C Trace Context §3.3.1.5).

SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
NOT_SAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)


class Propagation:
    """Reads and writes the context of a trace.

    Args:
        names: Of OpenTelemetry's propagators. ``baggage`` passes on as it is; that is not done here.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._w3c = "tracecontext" in names
        self._b3 = "b3" in names
        self._b3_multi = "b3multi" in names
        self._zipkin = self._b3 or self._b3_multi

    def read(self, get: Get) -> SpanContext | None:
        """What the headers say of a trace; None if that is nothing, or nothing sound."""
        if self._w3c:
            found = get("traceparent")
            if found.__class__ is str and (context := _traceparent(found, get)) is not None:
                return context
        return _zipkin(get) if self._zipkin else None

    def write(self, context: SpanContext, metadata: Metadata) -> None:
        """Say in the metadata that the call belongs to this trace, in place of what it says of another."""
        trace, span, sampled = context.trace_id, context.span_id, context.trace_flags & TraceFlags.SAMPLED
        if self._w3c:
            metadata["traceparent"] = f"00-{trace:032x}-{span:016x}-0{sampled:d}"
            if context.trace_state:
                metadata["tracestate"] = context.trace_state.to_header()
        if self._zipkin:
            for name in [name for name in metadata if name == "b3" or name.startswith("x-b3-")]:
                metadata.popall(name, None)
        if self._b3:
            metadata["b3"] = f"{trace:032x}-{span:016x}-{sampled:d}"
        if self._b3_multi:
            metadata["x-b3-traceid"] = f"{trace:032x}"
            metadata["x-b3-spanid"] = f"{span:016x}"
            metadata["x-b3-sampled"] = f"{sampled:d}"


def _traceparent(text: str, get: Get) -> SpanContext | None:
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if more is not None and version == "00":  # Later versions may say more (§4.3).
        return None
    state = get("tracestate")
    parsed = TraceState.from_header([state]) if isinstance(state, str) and len(state) <= _MOST else None
    return _valid(trace, span, sampled=int(flags, 16) & 1 == 1, state=parsed)


def _zipkin(get: Get) -> SpanContext | None:
    single = get("b3")
    if isinstance(single, str):
        match = _B3.fullmatch(single)
        return None if match is None else _valid(match[1], match[2], sampled=match[3] in ("1", "d"), state=None)
    trace, span = get("x-b3-traceid"), get("x-b3-spanid")
    if not (isinstance(trace, str) and isinstance(span, str) and _HEX.fullmatch(trace) and _HEX.fullmatch(span)):
        return None
    sampled = get("x-b3-sampled") in ("1", "true") or get("x-b3-flags") == "1"
    return _valid(trace, span, sampled=sampled, state=None) if len(span) == 16 else None


def _valid(trace: str, span: str, *, sampled: bool, state: TraceState | None) -> SpanContext | None:
    context = SpanContext(int(trace, 16), int(span, 16), True, SAMPLED if sampled else NOT_SAMPLED, state)
    return context if context.is_valid else None
