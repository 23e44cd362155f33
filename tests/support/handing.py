"""A source of accepted connections like a worker's, fed by a listener in the same process."""

import socket
from collections.abc import AsyncIterator

import trio
from anyio.abc import SocketAttribute

from echo.transport import AcceptedConnection, StreamListener


class PassedOn:
    """A source of the connections that a listener accepts.

    Attributes:
        port: The listener's port.
        begun: The number of connections handed over.
        ended: The number of those that have ended.
    """

    def __init__(self, listener: StreamListener) -> None:
        self.port = listener.extra(SocketAttribute.local_port)
        self.begun = self.ended = 0
        self._listener = listener
        self._send, self._receive = trio.open_memory_channel[AcceptedConnection](10)

    async def run(self) -> None:
        async with self._listener, self._send:
            await self._listener.accept(self.hand_over)

    def hand_over(self, accepted: socket.socket) -> None:
        """Hand over one more connection."""
        self.begun += 1
        self._send.send_nowait(AcceptedConnection(accepted, self._note_end))

    def _note_end(self) -> None:
        self.ended += 1

    def __aiter__(self) -> AsyncIterator[AcceptedConnection]:
        return self._receive

    def retire(self) -> None:
        self._listener.retire()

    async def aclose(self) -> None:
        self._receive.close()
