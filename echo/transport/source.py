"""A listener for connections that another process accepts and passes on."""

import ssl
from collections.abc import AsyncIterator
from socket import socket
from typing import NamedTuple, Protocol

from anyio.abc import ByteStream, Listener, TaskGroup

from echo.transport.accepting import to_stream
from echo.transport.starting import HANDSHAKE_TIMEOUT, Handler, OnClose, open_starter
from echo.transport.tally import Tally


class AcceptedConnection(NamedTuple):
    """A connection that another process has accepted.

    Attributes:
        socket: Its socket, which the receiver closes.
        on_close: Must be called once, when the connection has ended.
    """

    socket: socket
    on_close: OnClose


class ConnectionSource(Protocol):
    """Where accepted connections come from."""

    def __aiter__(self) -> AsyncIterator[AcceptedConnection]:
        """The connections as they arrive; ends after the last one."""

    def retire(self) -> None:
        """Ask for no more connections; those already sent still arrive."""

    async def aclose(self) -> None:
        """Close all connections that still arrive."""


class SourceListener(Listener[ByteStream]):
    """Serves each connection of a source in a task of its own, after its TLS handshake. Call `serve` only once.

    Attributes:
        tally: Counts failed TLS handshakes.
    """

    def __init__(
        self,
        source: ConnectionSource,
        *,
        tls: ssl.SSLContext | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        """The arguments are those of `open_tcp_listener`, but for the source."""
        self._source = source
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self.tally = Tally()

    async def serve(self, handler: Handler, task_group: TaskGroup | None = None) -> None:
        """Serve connections as `StreamListener.serve` does, until the source ends."""
        async with open_starter(handler, task_group, self._tls, self._handshake_timeout, self.tally) as starter:
            async for accepted in self._source:
                stream = await to_stream(accepted.socket)
                if stream is None:
                    accepted.on_close()
                else:
                    starter.start(stream, accepted.on_close)

    def retire(self) -> None:
        """Ask the source for no more connections; `serve` returns after the last one."""
        self._source.retire()

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()
