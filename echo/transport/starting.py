"""Starts serving accepted connections: first the TLS handshake, if there is one, then the handler."""

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
from anyio.abc import ByteStream, SocketStream, TaskGroup

from echo.transport.handshake import RefusedError, accept_tls, linger
from echo.transport.peer import Peer
from echo.transport.refusals import RefusalLog
from echo.transport.tally import Tally
from echo.wire import Limits

log = logging.getLogger("echo.transport.listener")

HANDSHAKE_TIMEOUT: Final = Limits().handshake_timeout  # Seconds a TLS handshake may take.

Handler = Callable[[ByteStream], Coroutine[Any, Any, Any]]
OnClose = Callable[[], None]


@dataclass(frozen=True, slots=True)
class ConnectionStarter:
    """Starts serving accepted connections.

    Attributes:
        handler: Serves a connection.
        connections: Runs the handlers.
        handshakes: Runs the TLS handshakes.
        tls: The server's context; None for plain text.
        handshake_timeout: Seconds a TLS handshake may take.
        refusals: Logs failed handshakes.
        tally: Counts failed handshakes.
    """

    handler: Handler
    connections: TaskGroup
    handshakes: TaskGroup
    tls: ssl.SSLContext | None
    handshake_timeout: float
    refusals: RefusalLog
    tally: Tally

    def start(self, stream: SocketStream, on_close: OnClose | None = None) -> None:
        """Start serving the connection, and call ``on_close`` when it has ended. Never waits."""
        handler = self.handler if on_close is None else partial(_serve, self.handler, on_close)
        if self.tls is None:
            self.connections.start_soon(handler, stream)
        else:
            self.handshakes.start_soon(self._handshake, stream, self.tls, handler, on_close)

    async def _handshake(
        self, stream: SocketStream, tls: ssl.SSLContext, handler: Handler, on_close: OnClose | None
    ) -> None:
        peer = Peer(stream)  # Now, as the address of a client that has left cannot be looked up.
        async with AsyncExitStack() as closing:
            if on_close is not None:
                closing.callback(on_close)
            closing.push_async_callback(anyio.aclose_forcefully, stream)
            try:
                secure = await accept_tls(stream, tls, self.handshake_timeout)
            except OSError as error:
                self.tally.refuse("TLS handshake")
                self.refusals.tell("TLS handshake with %s failed: %s", peer, error)
                if isinstance(error, RefusedError):
                    await linger(stream)
            except Exception:
                # A bug of ours in one connection must not end the others.
                log.exception("TLS handshake with %s failed", peer)
            else:
                closing.pop_all()  # The handler closes the stream, and calls `on_close`.
                self.connections.start_soon(handler, secure)


@asynccontextmanager
async def open_starter(
    handler: Handler, task_group: TaskGroup | None, tls: ssl.SSLContext | None, handshake_timeout: float, tally: Tally
) -> AsyncIterator[ConnectionStarter]:
    """Starts a listener's connections within the block.

    The block ends when the last TLS handshake is over. Cancelling it closes the connections whose handshakes are
    running or have just failed.

    Args:
        handler: Serves a connection.
        task_group: Runs the handlers; None for a task group of the block's own, which waits for them.
        tls: The server's context; None for plain text.
        handshake_timeout: Seconds a TLS handshake may take.
        tally: Counts failed handshakes.
    """
    async with anyio.create_task_group() as connections, anyio.create_task_group() as handshakes:
        yield ConnectionStarter(
            handler, task_group or connections, handshakes, tls, handshake_timeout, RefusalLog(log), tally
        )


async def _serve(handler: Handler, on_close: OnClose, stream: ByteStream) -> None:
    try:
        await handler(stream)
    finally:
        on_close()
