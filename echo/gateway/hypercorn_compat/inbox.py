"""What has come for one stream of HTTP/2 and is still to be handed on.

Upstream: the reader of a connection hands everything on itself, and waits for an application that does not read. So one
stream holds up all others; and for ever, if its application cannot read before it has sent, since the window for that
comes by the same reader. Here each stream takes what is its own at its own pace, and its window bounds what waits.
"""

import trio


class Inbox:
    """Bytes for one stream, and the end of them. One task puts, one gets.

    Attributes:
        over: No more will come.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._size = 0  # What they count for in the windows: with the padding.
        self.over = False
        self._getting = trio.lowlevel.ParkingLot()
        self._finished = trio.Event()

    def put(self, data: bytes, size: int) -> None:
        """Add bytes that count for so many."""
        self._data += data
        self._size += size
        self._getting.unpark()

    def end(self) -> None:
        """Nothing more will come."""
        self.over = True
        self._getting.unpark()

    def drop(self) -> None:
        """Nothing that is here is wanted any more."""
        self._size = 0
        self._data.clear()
        self.end()

    async def get(self) -> tuple[bytes, int] | None:
        """All there is, and for how much it counts; waits for something. None at the end."""
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
        """Wait until all is got, and `get` has told so."""
        await self._finished.wait()
