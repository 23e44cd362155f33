"""Data received for one HTTP/2 stream, until it is delivered.

Upstream: the connection's reader delivers everything itself, and waits if an application does not read, so one stream
stalls all others. It stalls them forever if its application must send before it can read, since WINDOW_UPDATE arrives
through the same reader. Here each stream takes its data at its own pace, and its window bounds what is waiting.
"""

import trio


class Inbox:
    """A queue of bytes for one stream, with an end. One task puts, another gets.

    Attributes:
        over: Whether the end was reached.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._size = 0  # Their flow-controlled length, padding included.
        self.over = False
        self._getting = trio.lowlevel.ParkingLot()
        self._finished = trio.Event()

    def put(self, data: bytes, size: int) -> None:
        """Add bytes with this flow-controlled length."""
        self._data += data
        self._size += size
        self._getting.unpark()

    def end(self) -> None:
        """Mark the end."""
        self.over = True
        self._getting.unpark()

    def drop(self) -> None:
        """Discard everything, and mark the end."""
        self._size = 0
        self._data.clear()
        self.end()

    async def get(self) -> tuple[bytes, int] | None:
        """Get all bytes and their flow-controlled length, waiting for some; None at the end."""
        while not self._size:
            if self.over:
                self._finished.set()
                return None
            await self._getting.park()
        data, size = bytes(self._data), self._size
        self._data.clear()
        self._size = 0
        return data, size

    async def finished(self) -> None:
        """Wait until `get` has returned None."""
        await self._finished.wait()
