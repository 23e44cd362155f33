"""Bounds the memory of large responses that wait for their clients: a few bytes of a request can ask for megabytes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from anyio.lowlevel import checkpoint

from echo.rpc import GRPCError, ServerStream, Status

LARGE: Final = 64 * 1024  # Bytes of a response above which it counts among the large ones.
MOST_LARGE: Final = 64 * 2**20  # Bytes of large responses that may wait for their clients, all together.


class LargeResponses:
    """Room for large responses.

    Args:
        max_size: The largest response, in bytes. A response occupies up to twice its size: as a message, and encoded.
    """

    def __init__(self, max_size: int) -> None:
        self._room = max(MOST_LARGE, max_size)

    @asynccontextmanager
    async def room(self, stream: ServerStream[Any, Any], size: int) -> AsyncIterator[None]:
        """Room for one response of ``size`` bytes, to be made and sent in the block; returns when most of it has left.

        Other tasks get a turn after each. Small ones are free, and never waited for.

        Raises:
            GRPCError: RESOURCE_EXHAUSTED: there is no room.
            StreamTerminatedError: The client is gone.
        """
        if size <= LARGE:
            yield
            return
        await stream.wait_until_sendable()
        if size > self._room:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many large responses are waiting for their clients")
        self._room -= size
        try:
            yield
            await stream.wait_until_sendable()
            await checkpoint()  # Compressed it may be small, and was still milliseconds of work.
        finally:
            self._room += size
