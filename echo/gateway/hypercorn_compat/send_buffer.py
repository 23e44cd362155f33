"""What one stream of HTTP/2 has to send, for when its window allows.

Upstream: who pushes goes on whenever little was taken from the buffer, also if the client's window was closed and
nothing could be taken: the buffer then grows without end.
"""

from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BUFFER_LOW_WATER, BufferCompleteError, StreamBuffer


class SendBuffer(StreamBuffer):
    """Holds at most ``BUFFER_HIGH_WATER`` bytes and what is pushed by each who may push."""

    async def push(self, data: bytes) -> None:
        """Add bytes; if there are many now, wait until there are few, or the stream is closed.

        Raises:
            BufferCompleteError: Nothing more may come.
        """
        if self._complete:
            raise BufferCompleteError
        self.buffer += data
        await self._is_empty.clear()
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            if self._paused.is_set():  # Else somebody waits for it already, and must go on waiting for the same one.
                await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Take at most so many bytes."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data
