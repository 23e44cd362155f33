"""A stream that accepts bytes at a limited rate, like a peer that reads slowly, in virtual time."""

import math

import anyio
from anyio.abc import ByteStream

STEP = 1 / 8  # Seconds between two pieces.


class ThrottledStream(ByteStream):
    """Forwards bytes to another stream at a steady rate; receiving is not limited.

    Args:
        stream: Where the bytes go.
        rate: The most bytes per second.
        stop: The number of bytes after which it accepts no more.
    """

    def __init__(self, stream: ByteStream, rate: int, stop: float = math.inf) -> None:
        self._stream = stream
        self._piece = int(rate * STEP)
        self._left = stop
        self.last_taken = -math.inf  # When it last accepted something.

    async def send(self, item: bytes) -> None:
        while item:
            if self._left <= 0:
                await anyio.sleep_forever()
            piece, item = item[: self._piece], item[self._piece :]
            await anyio.sleep(STEP)
            await self._stream.send(piece)
            self._left -= len(piece)
            self.last_taken = anyio.current_time()

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        return await self._stream.receive(max_bytes)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()
