"""Keeps one HTTP/2 connection from holding up all others with a flood of frames.

Upstream: everything that one read brings is handled before any other task runs. 64 KiB hold seven thousand frames or
four thousand requests, each with a reset behind it, so a few connections stop the gateway for seconds. A client may go
on like that forever: resets free its streams at once, so the limit of streams does not limit requests (CVE-2023-44487).
And PING, SETTINGS and other frames that carry nothing are answered without end. A frame may announce 16 MiB, all of
which h2 collects before it refuses it.

Here a connection's bytes are handled a few frames at a time, and other tasks run in between. Frames of kinds used in
floods are charged to a budget, the same as in `echo.wire`; once it is used up, the connection ends. So it does at the
head of a frame that is too large.
"""

from collections.abc import Callable, Iterator
from typing import Final

import trio

from echo.rpc import Limits
from echo.wire import Budget, frames

AT_ONCE: Final = 16  # Frames handled before other tasks run.
REQUEST_COUNTS: Final = 4  # As so many a HEADERS frame counts, since a request costs more than other frames.


class FrameBatches:
    """Cuts the bytes of one connection into batches of a few frames, and charges frames used in floods.

    Attributes:
        flooded: The budget is used up.
        oversized: A frame is larger than we take; nothing from there on is in a batch.
    """

    def __init__(self, is_open: Callable[[int], bool], may_be_reset: Callable[[int], bool]) -> None:
        """The functions tell whether a stream is open, and whether a client may reset it without being charged."""
        limits = Limits()
        self.flooded = False
        self.oversized = False
        self._is_open = is_open
        self._may_be_reset = may_be_reset
        self._budget = Budget(limits.flood_burst, limits.flood_rate)
        self._begun = b""  # Of a frame's header that is not complete.
        self._next = len(frames.PREFACE)  # Where the next header begins, counted from the next byte.

    def cut(self, data: bytes) -> Iterator[bytes]:
        """The bytes in batches. Frames are charged as their batch is taken."""
        data, begin, weight = self._begun + data, len(self._begun), 0
        while self._next + frames.HEADER_SIZE <= len(data):
            if weight >= AT_ONCE:
                yield data[begin : self._next]
                begin, weight = self._next, 0
            head, flags, stream_id = frames.HEADER.unpack_from(data, self._next)
            size, kind = head >> 8, head & 0xFF
            if size > frames.DEFAULT_FRAME_SIZE:
                self.oversized, data = True, data[: self._next]
                break
            self._charge(kind, flags, stream_id & frames.MAX_STREAM_ID, size)
            self._next += frames.HEADER_SIZE + size
            weight += REQUEST_COUNTS if kind == frames.HEADERS else 1
        self._begun = data[self._next :]
        self._next = max(0, self._next - len(data))
        yield data[begin:]

    def charge(self) -> None:
        """Charge a frame of a kind used in floods, or a reset of ours that the client has provoked."""
        self.flooded = self.flooded or not self._budget.spend(trio.current_time())

    def _charge(self, kind: int, flags: int, stream_id: int, size: int) -> None:
        if kind == frames.DATA:
            useless = not (size or flags & frames.END_STREAM) or not self._is_open(stream_id)
        elif kind == frames.RST_STREAM:
            useless = not self._may_be_reset(stream_id)
        else:
            useless = kind in (frames.PRIORITY, frames.SETTINGS, frames.PING) or kind > frames.CONTINUATION
        if useless:
            self.charge()
