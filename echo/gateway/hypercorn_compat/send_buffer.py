"""The unsent data of one HTTP/2 stream, held until its window allows sending.

Upstream: a sender continues whenever little was taken from the buffer, even if the client's window was closed and
nothing could be taken, so the buffer grows without limit. And waiting for the last bytes to be sent never ends.
"""

from collections.abc import Callable

import trio
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BUFFER_LOW_WATER, BufferCompleteError

from echo.gateway.hypercorn_compat.timing import PATIENCE, was_stopped


class SendBuffer:
    """Holds at most ``BUFFER_HIGH_WATER`` bytes, plus one push by each sender.

    Attributes:
        buffer: The bytes.
        ended: Whether the end was reached.
    """

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.ended = False
        self._taken = 0  # Bytes so far.
        self._waiting = trio.lowlevel.ParkingLot()

    @property
    def complete(self) -> bool:
        """Whether everything up to the end is sent."""
        return self.ended and not self.buffer

    def set_complete(self) -> None:
        """Mark the end."""
        self.ended = True

    async def close(self) -> None:
        """Discard everything, mark the end and wake the senders."""
        self.ended = True
        self.buffer.clear()
        self._waiting.unpark_all()

    async def push(self, data: bytes) -> None:
        """Add bytes; above the high-water mark, wait for the low-water mark or the stream's end.

        Raises:
            BufferCompleteError: The end was marked.
            trio.TooSlowError: The client's window has been closed for `PATIENCE`.
        """
        if self.ended:
            await trio.lowlevel.checkpoint()  # A sender that goes on regardless gives way to other tasks.
            raise BufferCompleteError
        self.buffer += data
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            await self._until(lambda: len(self.buffer) < BUFFER_LOW_WATER)

    async def drain(self) -> None:
        """Wait until everything is sent or the stream is closed. Raises trio.TooSlowError like `push`."""
        await self._until(lambda: not self.buffer)

    async def pop(self, max_length: int) -> bytes:
        """Take at most ``max_length`` bytes."""
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
            if waiting.cancelled_caught and self._taken == taken and not was_stopped(waiting.deadline):
                raise trio.TooSlowError
