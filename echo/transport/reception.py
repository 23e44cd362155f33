"""What happens to an accepted connection: its TLS handshake, if it has one, then whoever serves it."""

import logging
import ssl
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
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
Over = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Reception:
    """What happens to an accepted connection.

    Attributes:
        handler: Serves it.
        connections: Runs the handlers.
        greetings: Runs the TLS handshakes before that.
        tls: For TLS, the server's context.
        handshake_timeout: Seconds a TLS handshake may take.
        refusals: Where the log hears of handshakes that failed,
        tally: and where they are counted.
    """

    handler: Handler
    connections: TaskGroup
    greetings: TaskGroup
    tls: ssl.SSLContext | None
    handshake_timeout: float
    refusals: RefusalLog
    tally: Tally

    def welcome(self, stream: SocketStream, over: Over | None = None) -> None:
        """Start serving the connection, and call ``over`` when it has ended. Never waits."""
        handler = self.handler if over is None else partial(_serve, self.handler, over)
        if self.tls is None:
            self.connections.start_soon(handler, stream)
        else:
            self.greetings.start_soon(self._greet, stream, self.tls, handler, over)

    async def _greet(self, stream: SocketStream, tls: ssl.SSLContext, handler: Handler, over: Over | None) -> None:
        peer = Peer(stream)  # Now: the address of a client that has gone is not known any more.
        async with AsyncExitStack() as closing:
            if over is not None:
                closing.callback(over)
            closing.push_async_callback(anyio.aclose_forcefully, stream)
            try:
                secure = await accept_tls(stream, tls, self.handshake_timeout)
            except OSError as error:
                self.tally.refuse("TLS handshake")
                self.refusals.tell("TLS handshake with %s failed: %s", peer, error)
                if isinstance(error, RefusedError):
                    await linger(stream)
            except Exception:
                # A fault of ours in one connection must not take the others down.
                log.exception("TLS handshake with %s failed", peer)
            else:
                closing.pop_all()  # The handler closes it, and tells when it is over.
                self.connections.start_soon(handler, secure)


async def _serve(handler: Handler, over: Over, stream: ByteStream) -> None:
    try:
        await handler(stream)
    finally:
        over()
