"""HTTP/2 frames as bytes, valid and invalid, and the frames received in return, parsed (RFC 9113 §4.1, §6).

Nothing here checks anything: what may not be sent can be built like everything else.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

Fields = Iterable[tuple[str, str]]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME: Final = 16_384  # What every peer accepts (§4.2).

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
KINDS: Final = (
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY"),
    *("WINDOW_UPDATE", "CONTINUATION"),
)

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITISED: Final = 0x20

NO_ERROR, PROTOCOL_ERROR, CANCEL, REFUSED_STREAM = 0, 1, 8, 7
CODES: Final = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"),
    *("FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
    *("INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)
ENABLE_CONNECT_PROTOCOL: Final = 8  # RFC 8441 §3

MAX_WINDOW: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65_535


def code_name(code: int) -> str:
    """An error code's name (RFC 9113 §7), or the number where it has none."""
    return CODES[code] if code < len(CODES) else hex(code)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """A frame. ``length`` announces a length other than the payload's; ``stream`` may include the reserved bit."""
    size = len(payload) if length is None else length
    return struct.pack(">HBBBL", size >> 8, size & 0xFF, kind, flags, stream) + payload


def padded(payload: bytes, padding: int, *, claimed: int | None = None) -> bytes:
    """The payload of a PADDED frame. ``claimed`` is the content of the pad length field, if it is wrong."""
    return bytes([padding if claimed is None else claimed]) + payload + bytes(padding)


def data(stream: int, payload: bytes = b"", *, end: bool = False, padding: int | None = None) -> bytes:
    flags = (END_STREAM if end else 0) | (0 if padding is None else PADDED)
    return frame(DATA, flags, stream, payload if padding is None else padded(payload, padding))


def dependency(on: int, *, weight: int = 16, exclusive: bool = False) -> bytes:
    """The priority fields of a PRIORITY or HEADERS frame (RFC 7540 §6.3)."""
    return struct.pack(">LB", on | (exclusive << 31), weight - 1)


def priority(stream: int, on: int = 0, *, weight: int = 16, exclusive: bool = False) -> bytes:
    return frame(PRIORITY, 0, stream, dependency(on, weight=weight, exclusive=exclusive))


def rst_stream(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">L", code))


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame with these identifiers and values in this order; an identifier may be repeated."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", name, value) for name, value in pairs))


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)


def ping(payload: bytes = b"are you?", *, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, payload)


def goaway(last: int = 0, code: int = NO_ERROR, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">LL", last, code) + debug)


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", increment))


def continuation(stream: int, block: bytes = b"", *, end: bool = True) -> bytes:
    return frame(CONTINUATION, END_HEADERS if end else 0, stream, block)


def push_promise(stream: int, promised: int, block: bytes = b"") -> bytes:
    return frame(PUSH_PROMISE, END_HEADERS, stream, struct.pack(">L", promised) + block)


@dataclass(frozen=True, slots=True)
class Frame:
    """A received frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def name(self) -> str:
        """The frame's type, and whether it is an acknowledgement."""
        name = KINDS[self.kind] if self.kind < len(KINDS) else hex(self.kind)
        return f"{name} ACK" if self.kind in (SETTINGS, PING) and self.flags & ACK else name

    @property
    def error_code(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        return int.from_bytes(self.payload[4:8] if self.kind == GOAWAY else self.payload, "big")

    @property
    def ends(self) -> bool:
        """Whether the sender ends its side of the stream."""
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)


def parse(data: bytes) -> Iterator[Frame]:
    """The frames in our output, which only holds complete frames. A client's preface is skipped."""
    data = data.removeprefix(PREFACE)
    while data:
        high, low, kind, flags, stream = struct.unpack_from(">HBBBL", data)
        size = high << 8 | low
        assert size <= MAX_FRAME, f"we sent a frame of {size} bytes (RFC 9113 §4.2)"
        assert len(data) >= 9 + size, "we sent half a frame"
        yield Frame(kind, flags, stream, data[9 : 9 + size])
        data = data[9 + size :]
