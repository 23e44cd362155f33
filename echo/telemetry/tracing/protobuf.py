"""Spans as OTLP's protobuf, put together of ready-made pieces.

OpenTelemetry's exporter takes 18 us to encode a span, a quarter of what serving a whole call costs. Most of what a
span says is the same for every call of a method, and protobuf lets messages be written piece by piece, in any order: a
span is the bytes of its ids and times, and those of its attributes, one after the other. That takes half a microsecond.

The messages are those of ``opentelemetry/proto/trace/v1/trace.proto``; each piece is said by name here.
"""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

__all__ = [
    "CLIENT",
    "SERVER",
    "Value",
    "attribute",
    "count",
    "event",
    "failure",
    "flags",
    "head",
    "in_group",
    "length",
    "name_and_kind",
    "request",
    "resource",
    "tracestate",
]

Value: TypeAlias = str | bool | int | float

SERVER, CLIENT = 2, 3  # `SpanKind`.

HEAD_OF_ROOT, HEAD_OF_CHILD = 46, 56  # Bytes that `head` gives without a parent, and with one.

_ROOT: Final = struct.Struct("<2s16s2s8sBQBQ").pack
_CHILD: Final = struct.Struct("<2s16s2s8sBQBQ2s8s").pack
_TRACE_ID, _SPAN_ID, _PARENT, _START, _END = b"\x0a\x10", b"\x12\x08", b"\x22\x08", 0x39, 0x41

_EVENT_TIME: Final = struct.Struct("<BBBQ")
_EVENT: Final = 0x5A  # Field 11, of bytes.
_TIME: Final = 0x09  # Its field 1, of eight bytes.


def head(trace_id: bytes, span_id: bytes, parent: bytes | None, start: int, end: int) -> bytes:
    """The beginning of a span, of its ids, that of the one above it if any, and its times in ns since 1970."""
    if parent is None:
        return _ROOT(_TRACE_ID, trace_id, _SPAN_ID, span_id, _START, start, _END, end)
    return _CHILD(_TRACE_ID, trace_id, _SPAN_ID, span_id, _START, start, _END, end, _PARENT, parent)


def length(size: int) -> bytes:
    """What stands before a span of so many bytes in a group of spans."""
    return b"\x12" + _varint(size)


def in_group(span: bytes) -> bytes:
    """A span as it stands in a group of them: the beginning of a `ScopeSpans`, or of what goes on with one."""
    return length(len(span)) + span


def event(name: str, time: int, cause: str = "") -> bytes:
    """An event of a span, at this time in nanoseconds."""
    body = _event_body(name, cause)
    size = len(body) + 9
    if size < 0x80:
        return _EVENT_TIME.pack(_EVENT, size, _TIME, time) + body
    return b"\x5a" + _varint(size) + b"\x09" + struct.pack("<Q", time) + body


@lru_cache(512)
def _event_body(name: str, cause: str) -> bytes:
    return _text(2, name) + (_piece(3, _pair("cause", cause)) if cause else b"")


def name_and_kind(name: str, kind: int) -> bytes:
    """The name of a span, and which side of a call it is."""
    return _text(5, name) + _number(6, kind)


def attribute(key: str, value: Value) -> bytes:
    """An attribute of a span."""
    return _piece(9, _pair(key, value))


@lru_cache(4096)
def count(key: str, number: int) -> bytes:
    """An attribute that counts, mostly to a small number."""
    return attribute(key, number)


def failure(message: str | None) -> bytes:
    """The status of a span that failed."""
    return _piece(15, (_text(2, message) if message else b"") + _number(3, 2))


def tracestate(text: str) -> bytes:
    """What other vendors say of the trace."""
    return _text(3, text)


def flags(*, remote_parent: bool) -> bytes:
    """That the span is sampled, and whether its parent is of another process."""
    return b"\x85\x01" + struct.pack("<I", 0x1 | 0x100 | (0x200 if remote_parent else 0))


def resource(attributes: Mapping[str, Value], scope: str, version: str) -> tuple[bytes, bytes]:
    """What all spans of a process have in common: what stands before them in a request, and in front of each batch."""
    described = _piece(1, b"".join(_piece(1, _pair(key, value)) for key, value in attributes.items()))
    return described, _piece(1, _text(1, scope) + _text(2, version))


def request(common: tuple[bytes, bytes], groups: Iterable[bytes]) -> bytes:
    """The request that hands these groups of spans to a collector."""
    described, scope = common
    # `ScopeSpans` of the one scope, in `ResourceSpans` of the one resource, in an `ExportTraceServiceRequest`.
    return _piece(1, described + _piece(2, b"".join((scope, *groups))))


def _pair(key: str, value: Value) -> bytes:
    return _text(1, key) + _piece(2, _any(value))


def _any(value: Value) -> bytes:
    match value:
        case str():
            return _text(1, value)
        case bool():
            return _number(2, int(value))
        case int():
            return _number(3, value & 0xFFFF_FFFF_FFFF_FFFF)
        case float():
            return b"\x21" + struct.pack("<d", value)


def _text(field: int, text: str) -> bytes:
    return _piece(field, text.encode("utf-8", "replace"))


def _piece(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


_SHORT: Final = [
    bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7]) for number in range(1024)
]


def _varint(number: int) -> bytes:
    if number < 1024:
        return _SHORT[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
