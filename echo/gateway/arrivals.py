"""Where the gateway's connections come from: sockets that it listens on, or a parent process that passes them on."""

import select
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from echo.transport import AcceptedConnection, ConnectionSource

__all__ = ["Arrivals", "HandedOver", "Listening"]

Stream = trio.SSLStream[trio.SocketStream] | trio.SocketStream
Handler = Callable[[Stream], Awaitable[None]]


class Arrivals(Protocol):
    """A source of connections."""

    async def accept(self, handler: Handler, nursery: trio.Nursery) -> None:
        """Run the handler in the nursery for each connection, until `finish` was called and all have been accepted."""

    async def finish(self) -> None:
        """Accept the connections that clients have already made, then no more; returns when that is done."""


class Listening:
    """Listening sockets.

    Args:
        sockets: The sockets; the caller closes them.
        tls: The TLS context; None for plain text.
    """

    def __init__(self, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        self._sockets = sockets
        self._tls = tls
        self._scope = trio.CancelScope()

    async def accept(self, handler: Handler, nursery: trio.Nursery) -> None:  # noqa: D102 - as in Arrivals
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listening)) for listening in self._sockets]

        async def serve(stream: trio.SocketStream) -> None:
            await handler(_secured(stream, self._tls))

        with self._scope:
            await trio.serve_listeners(serve, listeners, handler_nursery=nursery)

    async def finish(self) -> None:
        """As in `Arrivals`: closing the sockets at once would reset connections that are not accepted yet."""
        waiting = select.poll()
        for listening in self._sockets:
            waiting.register(listening, select.POLLIN)
        try:
            while waiting.poll(0):
                await trio.lowlevel.checkpoint()
        finally:
            self._scope.cancel()


class HandedOver:
    """Connections that a parent process passes on.

    Args:
        source: Receives the connections.
        tls: The TLS context; None for plain text.
    """

    def __init__(self, source: ConnectionSource, tls: ssl.SSLContext | None) -> None:
        self._source = source
        self._tls = tls
        self._taken = trio.Event()

    async def accept(self, handler: Handler, nursery: trio.Nursery) -> None:  # noqa: D102 - as in Arrivals
        async def serve(accepted: AcceptedConnection) -> None:
            try:
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(accepted.socket))
                await handler(_secured(stream, self._tls))
            finally:
                accepted.socket.close()
                accepted.on_close()

        try:
            async for accepted in self._source:
                nursery.start_soon(serve, accepted)
        finally:
            self._source.retire()  # In case the grace period ended before `finish` did this.
            await self._source.aclose()
            self._taken.set()

    async def finish(self) -> None:
        """As in `Arrivals`."""
        self._source.retire()
        await self._taken.wait()


def _secured(stream: trio.SocketStream, tls: ssl.SSLContext | None) -> Stream:
    return stream if tls is None else trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
