"""What the listeners share: each connection is served in a task of its own, after its TLS handshake if there is one."""

import logging
import socket
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

import anyio
from anyio.abc import ByteStream, Listener, SocketStream, TaskGroup, UNIXSocketStream

from echo.transport.backend import current_backend
from echo.transport.background import open_background
from echo.transport.handshake import RefusedError, TlsContext, accept_tls, context_for_connection
from echo.transport.link import LINGER, link_over
from echo.transport.peer import Peer
from echo.transport.refusals import RefusalLog
from echo.transport.tally import Tally
from echo.wire import Limits

log = logging.getLogger("echo.transport.listener")

HANDSHAKE_TIMEOUT: Final = Limits().handshake_timeout  # Seconds a TLS handshake may take.

Handler = Callable[[ByteStream], Coroutine[Any, Any, Any]]


class AcceptedConnection(NamedTuple):
    """A connection that this or another process has accepted.

    Attributes:
        socket: Its socket, which the receiver closes.
        on_close: Must be called once, when the connection has ended.
    """

    socket: socket.socket
    on_close: Callable[[], None] = lambda: None


Start = Callable[[AcceptedConnection], None]
"""Starts serving a connection; never waits."""


class ServingListener(Listener[ByteStream]):
    """Serves the connections of its subclass. Call `serve` only once.

    Args:
        tls: The server's context, or a function that returns it for each connection; None for plain text.
        handshake_timeout: Seconds a TLS handshake may take.

    Attributes:
        tally: Counts failed TLS handshakes.
    """

    def __init__(self, tls: TlsContext | None, handshake_timeout: float) -> None:
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self._refusals = RefusalLog(log)
        self.tally: Tally = Tally()

    async def serve(self, handler: Handler, task_group: TaskGroup | None = None) -> None:
        """Run the handler for each connection in ``task_group``, until `retire` is called or no more can come.

        Returns when the last TLS handshake is over. Cancelling it closes the connections whose handshakes are running
        or have just failed.
        """
        async with open_background() as handshakes:
            connections = task_group or handshakes

            def start(accepted: AcceptedConnection) -> None:
                if self._tls is None:
                    connections.start_soon(_serve, handler, accepted)
                else:
                    handshakes.start_soon(self._handshake, accepted, self._tls, handler, connections)

            await self._start_each(start)

    @abstractmethod
    def retire(self) -> None:
        """Take no new connections; `serve` returns after the last one."""

    @abstractmethod
    async def _start_each(self, start: Start) -> None:
        """Start each connection that comes."""

    async def _handshake(
        self, accepted: AcceptedConnection, tls: TlsContext, handler: Handler, connections: TaskGroup
    ) -> None:
        async with AsyncExitStack() as closing:
            closing.callback(accepted.on_close)
            stream = await _to_stream(accepted.socket)
            if stream is None:
                return
            closing.push_async_callback(anyio.aclose_forcefully, stream)
            peer = Peer(stream)  # Now, as the address of a client that has left cannot be looked up.
            try:
                secure = await accept_tls(stream, context_for_connection(tls), self._handshake_timeout)
            except OSError as error:
                self.tally.refuse("TLS handshake")
                self._refusals.tell("TLS handshake with %s failed: %s", peer, error)
                if isinstance(error, RefusedError):
                    await link_over(stream, LINGER, current_backend()).linger()
            except Exception:
                # A bug of ours in one connection must not end the others.
                log.exception("TLS handshake with %s failed", peer)
            else:
                closing.pop_all()  # The handler closes the stream.
                connections.start_soon(_serve, handler, accepted, secure)


async def _serve(handler: Handler, accepted: AcceptedConnection, secure: ByteStream | None = None) -> None:
    """Run the handler for a connection, or for the TLS connection over it."""
    try:
        stream = secure or await _to_stream(accepted.socket)
        if stream is not None:
            await handler(stream)
    finally:
        accepted.on_close()


async def _to_stream(accepted: socket.socket) -> SocketStream | None:
    """Wrap a socket as anyio's listeners do; None if the client has left already."""
    try:
        if accepted.family == getattr(socket, "AF_UNIX", None):
            return await UNIXSocketStream.from_socket(accepted)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return await SocketStream.from_socket(accepted)
    except BaseException as error:
        accepted.close()
        if isinstance(error, OSError | ValueError):  # anyio raises ValueError if it is not connected any more.
            return None
        raise
