"""A pair of connected byte streams within the process: a network without sockets, for tests."""

import math

import anyio
from anyio.abc import ByteStream, ObjectReceiveStream, ObjectSendStream


class MemoryStream(ByteStream):
    """One end. The other receives what is sent here, in pieces of the size it asks for."""

    def __init__(self, sending: ObjectSendStream[bytes], receiving: ObjectReceiveStream[bytes]) -> None:
        self._sending = sending
        self._receiving = receiving
        self._rest = b""

    async def send(self, item: bytes) -> None:
        """Send all of ``item``; waits until the other end has taken enough of the earlier items."""
        if item:
            await self._sending.send(bytes(item))

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        """At least one byte. Raises `anyio.EndOfStream` once the other end is closed."""
        data = self._rest or await self._receiving.receive()
        self._rest = data[max_bytes:]
        return data[:max_bytes]

    async def send_eof(self) -> None:
        """Send nothing more."""
        await self._sending.aclose()

    async def aclose(self) -> None:
        """Close this end in both directions."""
        await self._sending.aclose()
        await self._receiving.aclose()


def memory_stream_pair(capacity: float = 1) -> tuple[MemoryStream, MemoryStream]:
    """Two connected streams; up to ``capacity`` sends wait in each direction."""
    assert capacity <= math.inf
    to_left, from_right = anyio.create_memory_object_stream[bytes](capacity)
    to_right, from_left = anyio.create_memory_object_stream[bytes](capacity)
    return MemoryStream(to_right, from_right), MemoryStream(to_left, from_left)
