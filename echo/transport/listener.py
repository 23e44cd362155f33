"""Listening sockets, plain or with TLS, that outlive a shortage of file descriptors."""

import errno
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio
from anyio.abc import ByteStream, Listener, SocketListener, SocketStream, TaskGroup
from anyio.streams.stapled import MultiListener

from echo.transport.handshake import accept_tls

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT: Final = 20.0  # Seconds a TLS handshake may take.
RETRY_DELAY: Final = 0.1  # Seconds until accept is tried again after the process ran out of descriptors.

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_GONE: Final = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM})


class TCPListener(Listener[ByteStream]):
    """Bound and listening; hands each accepted connection to a task of its own."""

    def __init__(self, listeners: MultiListener[SocketStream], tls: ssl.SSLContext | None) -> None:
        self._listeners = listeners
        self._tls = tls

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the sockets: ``anyio.abc.SocketAttribute.local_port`` above all."""
        return self._listeners.extra_attributes

    async def serve(self, handler: Callable[[ByteStream], Awaitable[Any]], task_group: TaskGroup | None = None) -> None:
        """Accept until cancelled, one task for each connection in ``task_group``. Closes nothing."""
        async with anyio.create_task_group() as accepting:
            for listener in self._listeners.listeners:
                assert isinstance(listener, SocketListener)
                accepting.start_soon(self._accept, listener, handler, task_group or accepting)

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._listeners.aclose()

    async def _accept(
        self, listener: SocketListener, handler: Callable[[ByteStream], Awaitable[Any]], tasks: TaskGroup
    ) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    log.warning("cannot accept a connection: %s", error)
                    await anyio.sleep(RETRY_DELAY)
                elif error.errno not in _GONE:
                    raise
            else:
                tasks.start_soon(self._greet, stream, handler)

    async def _greet(self, stream: SocketStream, handler: Callable[[ByteStream], Awaitable[Any]]) -> None:
        if self._tls is None:
            await handler(stream)
            return
        try:
            with anyio.fail_after(HANDSHAKE_TIMEOUT):
                secure = await accept_tls(stream, self._tls)
        except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream, TimeoutError, OSError) as error:
            log.info("TLS handshake failed: %s", str(error) or type(error).__name__)
            await anyio.aclose_forcefully(stream)
        else:
            await handler(secure)


async def open_tcp_listener(host: str, port: int, *, tls: ssl.SSLContext | None = None) -> TCPListener:
    """Bind and listen on every address of ``host``; port 0 picks a free one.

    Args:
        host: An address, a name, or "" for all interfaces.
        port: The port; ``listener.extra(anyio.abc.SocketAttribute.local_port)`` tells the real one.
        tls: Makes every connection TLS. Its ALPN protocols should be ``["h2"]``.

    Raises:
        OSError: The address cannot be had.
    """
    return TCPListener(await anyio.create_tcp_listener(local_host=host or None, local_port=port, backlog=1024), tls)
