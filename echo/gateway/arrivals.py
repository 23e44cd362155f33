"""Where the gateway's connections come from: a listener of its own, or a parent process that passes them on."""

import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from echo.transport import AcceptedConnection, ConnectionSource, StreamListener, TlsContext, context_for_connection

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
    """A listener of the gateway's own.

    Args:
        listener: The listener, without TLS; the caller closes it.
        tls: The TLS context, or a function that returns it for each connection; None for plain text.
    """

    def __init__(self, listener: StreamListener, tls: TlsContext | None) -> None:
        self._listener = listener
        self._tls = tls
        self._ended = trio.Event()

    async def accept(self, handler: Handler, nursery: trio.Nursery) -> None:  # noqa: D102 - as in Arrivals
        def start(accepted: socket.socket) -> None:
            nursery.start_soon(handler, _stream(accepted, self._tls))

        await self._listener.accept(start)
        self._ended.set()

    async def finish(self) -> None:
        """As in `Arrivals`."""
        self._listener.retire()
        await self._ended.wait()


class HandedOver:
    """Connections that a parent process passes on.

    Args:
        source: Receives the connections.
        tls: The TLS context, or a function that returns it for each connection; None for plain text.
    """

    def __init__(self, source: ConnectionSource, tls: TlsContext | None) -> None:
        self._source = source
        self._tls = tls
        self._taken = trio.Event()

    async def accept(self, handler: Handler, nursery: trio.Nursery) -> None:  # noqa: D102 - as in Arrivals
        async def serve(accepted: AcceptedConnection) -> None:
            try:
                await handler(_stream(accepted.socket, self._tls))
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


def _stream(connected: socket.socket, tls: TlsContext | None) -> Stream:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(connected))
    if tls is None:
        return stream
    return trio.SSLStream(stream, context_for_connection(tls), server_side=True, https_compatible=True)
