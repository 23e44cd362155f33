"""SETTINGS: ours and the peer's (RFC 9113 §6.5)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import (
    ACK,
    DEFAULT_FRAME_SIZE,
    DEFAULT_WINDOW,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    SETTING,
    SETTINGS,
    ErrorCode,
    frame,
)
from echo.wire.hpack import MAX_TABLE_SIZE
from echo.wire.limits import Limits

UNLIMITED: Final = 2**32 - 1


class Setting(IntEnum):
    """The settings in use here (RFC 9113 §6.5.2); others are ignored."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)


def announce(limits: Limits, *, client: bool) -> bytes:
    """Our SETTINGS frame."""
    values = {
        Setting.ENABLE_PUSH: 0,
        Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
        Setting.MAX_HEADER_LIST_SIZE: limits.max_header_list_size,
    }
    if not client:  # A client's value would limit pushes, which are off.
        values[Setting.MAX_CONCURRENT_STREAMS] = limits.max_concurrent_streams
    return frame(SETTINGS, 0, 0, b"".join(SETTING.pack(name, value) for name, value in values.items()))


@dataclass(slots=True)
class PeerSettings:
    """The peer's settings, at their defaults until it sends others (RFC 9113 §6.5.2).

    Attributes:
        header_table_size: The size limit of our HPACK encoder's table.
        max_concurrent_streams: How many streams we may have open at once.
        initial_window_size: What we may send on a new stream.
        max_frame_size: The largest payload of a frame.
        max_header_list_size: The largest header list.
    """

    header_table_size: int = MAX_TABLE_SIZE
    max_concurrent_streams: int = UNLIMITED
    initial_window_size: int = DEFAULT_WINDOW
    max_frame_size: int = DEFAULT_FRAME_SIZE
    max_header_list_size: int = UNLIMITED

    def update(self, payload: bytes, *, from_server: bool) -> None:
        """Apply the values of a SETTINGS frame in order.

        Raises:
            PeerConnectionError: A value is not allowed (RFC 9113 §6.5.2).
        """
        for name, value in SETTING.iter_unpack(payload):
            if name == Setting.HEADER_TABLE_SIZE:
                self.header_table_size = value
            elif name == Setting.ENABLE_PUSH:
                if value > 1 or (value and from_server):
                    raise _not_allowed("SETTINGS_ENABLE_PUSH", value)
            elif name == Setting.MAX_CONCURRENT_STREAMS:
                self.max_concurrent_streams = value
            elif name == Setting.INITIAL_WINDOW_SIZE:
                if value > MAX_WINDOW:
                    raise _not_allowed("SETTINGS_INITIAL_WINDOW_SIZE", value, ErrorCode.FLOW_CONTROL_ERROR)
                self.initial_window_size = value
            elif name == Setting.MAX_FRAME_SIZE:
                if not DEFAULT_FRAME_SIZE <= value <= MAX_FRAME_SIZE:
                    raise _not_allowed("SETTINGS_MAX_FRAME_SIZE", value)
                self.max_frame_size = value
            elif name == Setting.MAX_HEADER_LIST_SIZE:
                self.max_header_list_size = value


def _not_allowed(name: str, value: int, code: ErrorCode = ErrorCode.PROTOCOL_ERROR) -> PeerConnectionError:
    return PeerConnectionError(code, f"{name} is {value}")
