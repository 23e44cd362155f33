"""Keeps one HTTP/2 connection from holding up all others with a flood of frames.

Upstream: everything that one read brings is handled before any other task runs. 64 KiB hold seven thousand frames or
four thousand requests, each with a reset behind it, so a few connections stop the gateway for seconds. A client may go
on like that forever: resets free its streams at once, so the limit of streams does not limit requests (CVE-2023-44487).
And PING, SETTINGS and other frames that carry nothing are answered without end.

Here a connection's bytes are handled a few frames at a time, and other tasks run in between. Frames of kinds used in
floods are charged to a budget, the same as in `echo.wire`; once it is used up, the connection ends.
"""

from collections.abc import Callable, Iterator
from typing import Final

import trio

from echo.rpc import Limits
from echo.wire import Budget

AT_ONCE: Final = 16  # Frames handled before other tasks run.
REQUEST_COUNTS: Final = 4  # As so many a HEADERS frame counts, since a request costs more than other frames.

_PREFACE_SIZE: Final = 24  # RFC 9113 §3.4
_HEADER_SIZE: Final = 9  # §4.1
_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS, _PING, _CONTINUATION = 0x0, 0x1, 0x2, 0x3, 0x4, 0x6, 0x9
_END_STREAM: Final = 0x1
_MAX_STREAM_ID: Final = 2**31 - 1


class FrameBatches:
    """Cuts the bytes of one connection into batches of a few frames, and charges frames used in floods.

    Attributes:
        flooded: The budget is used up.
    """

    def __init__(self, is_open: Callable[[int], bool], may_be_reset: Callable[[int], bool]) -> None:
        """The functions tell whether a stream is open, and whether a client may reset it without being charged."""
        limits = Limits()
        self.flooded = False
        self._is_open = is_open
        self._may_be_reset = may_be_reset
        self._budget = Budget(limits.flood_burst, limits.flood_rate)
        self._begun = b""  # Of a frame's header that is not complete.
        self._next = _PREFACE_SIZE  # Where the next header begins, counted from the next byte.

    def cut(self, data: bytes) -> Iterator[bytes]:
        """The bytes in batches. Frames are charged as their batch is taken."""
        data, begin, frames = self._begun + data, len(self._begun), 0
        while self._next + _HEADER_SIZE <= len(data):
            if frames >= AT_ONCE:
                yield data[begin : self._next]
                begin, frames = self._next, 0
            header = data[self._next : self._next + _HEADER_SIZE]
            self._charge(header)
            self._next += _HEADER_SIZE + int.from_bytes(header[:3])
            frames += REQUEST_COUNTS if header[3] == _HEADERS else 1
        self._begun = data[self._next :]
        self._next = max(0, self._next - len(data))
        yield data[begin:]

    def charge(self) -> None:
        """Charge a frame of a kind used in floods, or a reset of ours that the client has provoked."""
        self.flooded = self.flooded or not self._budget.spend(trio.current_time())

    def _charge(self, header: bytes) -> None:
        size, kind, flags = int.from_bytes(header[:3]), header[3], header[4]
        stream_id = int.from_bytes(header[5:]) & _MAX_STREAM_ID
        if kind == _DATA:
            useless = not (size or flags & _END_STREAM) or not self._is_open(stream_id)
        elif kind == _RST_STREAM:
            useless = not self._may_be_reset(stream_id)
        else:
            useless = kind in (_PRIORITY, _SETTINGS, _PING) or kind > _CONTINUATION
        if useless:
            self.charge()
