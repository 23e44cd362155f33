"""The context of a trace in headers and metadata: W3C Trace Context's form, and Zipkin's B3.

OpenTelemetry's own propagators do the same, at five times the cost, which calls that are not sampled would pay as well.
"""

import re
import struct
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeGuard

from echo.wire import Metadata

__all__ = ["Parent", "Propagation", "likely", "read_together"]

Get: TypeAlias = Callable[[str], str | bytes | None]
"""The value of the header of this name, in lower case; None without."""

_LATER: Final = re.compile(r"(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(?:-.*)?", re.ASCII)
_B3: Final = re.compile(r"((?:[0-9a-fA-F]{16}){1,2})-([0-9a-fA-F]{16})(?:-([01d])(?:-[0-9a-fA-F]{16})?)?", re.ASCII)
_STATE: Final = re.compile(r"[ -~]{1,512}", re.ASCII)  # §3.3.1.5: vendors should pass on as much as that.
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)

_LENGTH: Final = 55  # Of a ``traceparent`` of the version that there is,
_BYTES: Final = 26  # and how many bytes it is in hexadecimal:
_IDS: Final = struct.Struct("x16s8sx")  # a version, two ids, and flags.
_SAMPLED: Final = "13579bdf"  # How flags end that have the lowest bit set.


class Parent(NamedTuple):
    """The span that another one is part of.

    Attributes:
        trace_id: Sixteen bytes,
        span_id: and eight.
        sampled: It is recorded.
        state: What other vendors say of the trace; None for nothing.
        remote: It is of another process.
    """

    trace_id: bytes
    span_id: bytes
    sampled: bool
    state: str | None = None
    remote: bool = True


class Propagation:
    """Reads and writes the context of a trace.

    Args:
        names: Of OpenTelemetry's propagators. ``baggage`` passes on as it is; that is not done here.

    Attributes:
        read: What the headers say of a trace, given by name; None if that is nothing, or nothing sound.
        by_traceparent: A ``traceparent`` that is sound says it all, but for a ``tracestate``.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._w3c = "tracecontext" in names
        self._b3 = "b3" in names
        self._b3_multi = "b3multi" in names
        self._zipkin = self._b3 or self._b3_multi
        self.by_traceparent = self._w3c and not self._zipkin
        if self._w3c:
            self.read: Callable[[Get], Parent | None] = _either if self._zipkin else _w3c
        else:
            self.read = _zipkin if self._zipkin else _nothing

    def write(self, span: Parent, metadata: Metadata) -> None:
        """Say in the metadata that the call belongs to this span, in place of what it says of another."""
        trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
        if self._w3c:
            metadata["traceparent"] = f"00-{trace_id}-{span_id}-{'01' if span.sampled else '00'}"
            if span.state is not None:
                metadata["tracestate"] = span.state
        if self._zipkin:
            for name in [name for name in metadata if name == "b3" or name.startswith("x-b3-")]:
                metadata.popall(name, None)
        if self._b3:
            metadata["b3"] = f"{trace_id}-{span_id}-{'1' if span.sampled else '0'}"
        if self._b3_multi:
            metadata["x-b3-traceid"] = trace_id
            metadata["x-b3-spanid"] = span_id
            metadata["x-b3-sampled"] = "1" if span.sampled else "0"


def _nothing(_: Get) -> None:
    return None


def _either(get: Get) -> Parent | None:
    return _w3c(get) or _zipkin(get)


def _w3c(get: Get) -> Parent | None:
    """Of the version that there is; later ones begin alike (§4.3). Every call pays for this, so it is one piece."""
    text = get("traceparent")
    if not isinstance(text, str):
        return None
    if text[:3] != "00-":
        match = _LATER.fullmatch(text)
        if match is None:
            return None
        text = f"00-{match[1]}"
    if len(text) != 55 or text[35] != "-" or text[52] != "-" or text != text.lower():
        return None
    try:
        trace_id, span_id = bytes.fromhex(text[3:35]), bytes.fromhex(text[36:52])
        flags = bytes.fromhex(text[53:])
    except ValueError:
        return None
    # Blanks between digits are left out, and so are found by the length.
    if len(trace_id) != 16 or len(span_id) != 8 or len(flags) != 1 or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    state = get("tracestate")
    if state is not None and not (isinstance(state, str) and _STATE.fullmatch(state)):
        state = None
    # `Parent(...)` in half the time: every call pays for it.
    return tuple.__new__(Parent, (trace_id, span_id, flags[0] & 1 == 1, state, True))


def likely(header: object) -> TypeGuard[str]:
    """Whether this looks like a ``traceparent`` of the version that there is, and of a trace that is sampled."""
    return isinstance(header, str) and len(header) == _LENGTH and header[-1] in _SAMPLED


def read_together(headers: Sequence[str]) -> Sequence[tuple[bytes, bytes] | None]:
    """The ids in each ``traceparent`` of several that are `likely`; None for one that is not sound.

    To read them together takes a quarter of what it takes to read them one by one.
    """
    number, joined = len(headers), "".join(headers)
    digits = joined.replace("-", "")
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        found = b""
    dashes = "-" * number
    sound = (
        len(found) == number * _BYTES
        and found.hex() == digits  # No blanks, which `fromhex` passes over, and no capitals.
        and joined[2::_LENGTH] == joined[35::_LENGTH] == joined[52::_LENGTH] == dashes
        and found[::_BYTES] == bytes(number)
        and _NO_SPAN not in found  # In a trace's id that is allowed, but rare.
    )
    if sound:
        return list(_IDS.iter_unpack(found))
    parents = [_w3c({"traceparent": header}.get) for header in headers]
    return [None if parent is None else (parent.trace_id, parent.span_id) for parent in parents]


def _zipkin(get: Get) -> Parent | None:
    single = get("b3")
    if single is None:
        parts = [get(f"x-b3-{name}") for name in ("traceid", "spanid", "sampled", "flags")]
        trace_id, span_id, sampled, flags = [part if isinstance(part, str) else "" for part in parts]
        letter = "1" if sampled in ("1", "true") or flags == "1" else "0"
        single = f"{trace_id}-{span_id}-{letter}"
    match = _B3.fullmatch(single) if isinstance(single, str) else None
    if match is None:
        return None
    found = Parent(bytes.fromhex(match[1].zfill(32)), bytes.fromhex(match[2]), match[3] in ("1", "d"))
    return None if found.trace_id == _NO_TRACE or found.span_id == _NO_SPAN else found
