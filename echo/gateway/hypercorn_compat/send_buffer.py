"""What one stream of HTTP/2 has to send, for when its window allows.

Upstream: who pushes goes on whenever little was taken from the buffer, also if the client's window was closed and
nothing could be taken: the buffer then grows without end. And who waits for the last bytes to be sent waits for ever.
"""

from collections.abc import Callable

import trio
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BUFFER_LOW_WATER, BufferCompleteError

from echo.gateway.hypercorn_compat.timing import PATIENCE


class SendBuffer:
    """Holds at most ``BUFFER_HIGH_WATER`` bytes and what is pushed by each who may push.

    Attributes:
        buffer: The bytes.
        ended: Nothing more may come.
    """

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.ended = False
        self._taken = 0  # Bytes so far.
        self._waiting = trio.lowlevel.ParkingLot()

    @property
    def complete(self) -> bool:
        """Whether all is sent that there will ever be."""
        return self.ended and not self.buffer

    def set_complete(self) -> None:
        """Nothing more will come."""
        self.ended = True

    async def close(self) -> None:
        """Nothing more is sent, nor waited for."""
        self.ended = True
        self.buffer.clear()
        self._waiting.unpark_all()

    async def push(self, data: bytes) -> None:
        """Add bytes; if there are many now, wait until there are few, or the stream is closed.

        Raises:
            BufferCompleteError: Nothing more may come.
            trio.TooSlowError: The client has let us send nothing for `PATIENCE`.
        """
        if self.ended:
            raise BufferCompleteError
        self.buffer += data
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            await self._until(lambda: len(self.buffer) < BUFFER_LOW_WATER)

    async def drain(self) -> None:
        """Wait until everything is sent, or the stream is closed. Raises trio.TooSlowError like `push`."""
        await self._until(lambda: not self.buffer)

    async def pop(self, max_length: int) -> bytes:
        """Take at most so many bytes."""
        data = bytes(self.buffer[:max_length])
        if data:
            del self.buffer[:max_length]
            self._taken += len(data)
            self._waiting.unpark_all()
        return data

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            taken = self._taken
            with trio.move_on_after(PATIENCE) as waiting:
                while self._taken == taken and not reached():
                    await self._waiting.park()
            if waiting.cancelled_caught and self._taken == taken:
                raise trio.TooSlowError
