"""The frames of HTTP/2: a header of nine bytes and a payload (RFC 9113 §4.1), and the numbers in them (§6, §7)."""

import struct
from enum import IntEnum
from typing import Final

# Frame types (RFC 9113 §6). Plain integers: they are compared for every frame.
DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

# Flags; each applies to a few frame types only.
ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # The first bytes a client sends (RFC 9113 §3.4).

HEADER: Final = struct.Struct(">LBL")  # Length (24 bits) and type (8), flags, stream.
HEADER_SIZE: Final = 9
UINT32: Final = struct.Struct(">L")
SETTING: Final = struct.Struct(">HL")
GOAWAY_HEAD: Final = struct.Struct(">LL")  # Last stream id, error code; debug data follows.

MAX_STREAM_ID: Final = 2**31 - 1
MAX_WINDOW: Final = 2**31 - 1  # RFC 9113 §6.9.1
DEFAULT_WINDOW: Final = 65_535  # RFC 9113 §6.9.2
DEFAULT_FRAME_SIZE: Final = 16_384  # RFC 9113 §6.5.2; the largest frame we take, since we announce no other.
MAX_FRAME_SIZE: Final = 2**24 - 1


class ErrorCode(IntEnum):
    """Why a stream or a connection ended (RFC 9113 §7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


def describe_code(code: int) -> str:
    """An error code as text: its name, or its number if it has none."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"code {code}"


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Encode one frame; the payload must fit the peer's SETTINGS_MAX_FRAME_SIZE."""
    return HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def rst_stream(stream_id: int, error_code: int) -> bytes:
    """RST_STREAM (RFC 9113 §6.4)."""
    return frame(RST_STREAM, 0, stream_id, UINT32.pack(error_code))


def window_update(stream_id: int, increment: int) -> bytes:
    """WINDOW_UPDATE; stream 0 means the connection (RFC 9113 §6.9)."""
    return frame(WINDOW_UPDATE, 0, stream_id, UINT32.pack(increment))


def goaway(last_stream_id: int, error_code: int, debug_data: bytes = b"") -> bytes:
    """GOAWAY (RFC 9113 §6.8)."""
    return frame(GOAWAY, 0, 0, GOAWAY_HEAD.pack(last_stream_id, error_code) + debug_data)


def ping(data: bytes, *, ack: bool = False) -> bytes:
    """PING with its eight bytes (RFC 9113 §6.7)."""
    return frame(PING, ACK if ack else 0, 0, data)
