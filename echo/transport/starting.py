"""What the listeners share: each connection is served in a task of its own, after its TLS handshake if there is one."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Protocol

import anyio
from anyio.abc import ByteStream, Listener, SocketStream, TaskGroup

from echo.transport.background import open_background
from echo.transport.handshake import RefusedError, TlsContext, accept_tls, context_for_connection, linger
from echo.transport.peer import Peer
from echo.transport.refusals import RefusalLog
from echo.transport.tally import Tally
from echo.wire import Limits

log = logging.getLogger("echo.transport.listener")

HANDSHAKE_TIMEOUT: Final = Limits().handshake_timeout  # Seconds a TLS handshake may take.

Handler = Callable[[ByteStream], Coroutine[Any, Any, Any]]
OnClose = Callable[[], None]


class Start(Protocol):
    """What a listener calls with each connection."""

    def __call__(self, stream: SocketStream, on_close: OnClose | None = None) -> None:
        """Start serving the connection, and call ``on_close`` when it has ended. Never waits."""


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
        async with open_background() as own, open_background() as handshakes:
            connections = task_group or own

            def start(stream: SocketStream, on_close: OnClose | None = None) -> None:
                serving = handler if on_close is None else partial(_serve, handler, on_close)
                if self._tls is None:
                    connections.start_soon(serving, stream)
                else:
                    handshakes.start_soon(self._handshake, stream, self._tls, serving, on_close, connections)

            await self._start_each(start)

    @abstractmethod
    def retire(self) -> None:
        """Take no new connections; `serve` returns after the last one."""

    @abstractmethod
    async def _start_each(self, start: Start) -> None:
        """Start each connection that comes."""

    async def _handshake(
        self,
        stream: SocketStream,
        tls: TlsContext,
        handler: Handler,
        on_close: OnClose | None,
        connections: TaskGroup,
    ) -> None:
        peer = Peer(stream)  # Now, as the address of a client that has left cannot be looked up.
        async with AsyncExitStack() as closing:
            if on_close is not None:
                closing.callback(on_close)
            closing.push_async_callback(anyio.aclose_forcefully, stream)
            try:
                secure = await accept_tls(stream, context_for_connection(tls), self._handshake_timeout)
            except OSError as error:
                self.tally.refuse("TLS handshake")
                self._refusals.tell("TLS handshake with %s failed: %s", peer, error)
                if isinstance(error, RefusedError):
                    await linger(stream)
            except Exception:
                # A bug of ours in one connection must not end the others.
                log.exception("TLS handshake with %s failed", peer)
            else:
                closing.pop_all()  # The handler closes the stream, and calls `on_close`.
                connections.start_soon(handler, secure)


async def _serve(handler: Handler, on_close: OnClose, stream: ByteStream) -> None:
    try:
        await handler(stream)
    finally:
        on_close()
