"""Listening sockets, TCP or Unix, plain or with TLS, that outlive a shortage of file descriptors."""

import errno
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
from anyio.abc import (
    ByteStream,
    Listener,
    SocketAttribute,
    SocketListener,
    SocketStream,
    TaskGroup,
    UNIXSocketStream,
)
from anyio.streams.stapled import MultiListener

from echo.transport.handshake import accept_tls

if TYPE_CHECKING:
    from echo.transport.unix import UnixPath

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT: Final = 20.0  # Seconds a TLS handshake may take.
RETRY_DELAY: Final = 0.1  # Seconds until accept is tried again after the process ran out of descriptors.
BACKLOG: Final = 1024

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_GONE: Final = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM})


class StreamListener(Listener[ByteStream]):
    """Bound and listening; hands each accepted connection to a task of its own."""

    def __init__(
        self,
        listeners: MultiListener[SocketStream],
        tls: ssl.SSLContext | None,
        handshake_timeout: float,
        path: "UnixPath | None" = None,
    ) -> None:
        self._listeners = listeners
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self._path = path

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

    async def retire(self, handler: Callable[[ByteStream], Awaitable[Any]], tasks: TaskGroup) -> None:
        """Close the sockets, but serve who waits to be accepted: the kernel has said yes, and would reset them.

        Between the last one accepted and the socket's end there is no await, and so hardly room for another.
        """
        waiting: list[socket.socket] = []
        try:
            for listener in self._listeners.listeners:
                with suppress(OSError):  # Mostly that nobody waits any more.
                    while len(waiting) < BACKLOG:
                        waiting.append(listener.extra(SocketAttribute.raw_socket).accept()[0])
                await listener.aclose()
            while waiting:
                accepted = waiting.pop()
                kind = UNIXSocketStream if accepted.family == getattr(socket, "AF_UNIX", None) else SocketStream
                tasks.start_soon(self._greet, await kind.from_socket(accepted), handler)
        finally:
            for left in waiting:
                left.close()

    async def aclose(self) -> None:
        """Close the sockets; a Unix socket's path is gone then, unless somebody has put something else in its place."""
        path, self._path = self._path, None  # Once: the file of another may have the same inode later.
        if path is not None:
            path.remove()
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
            with anyio.fail_after(self._handshake_timeout):
                secure = await accept_tls(stream, self._tls)
        except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream, TimeoutError, OSError) as error:
            log.info("TLS handshake failed: %s", str(error) or type(error).__name__)
            await anyio.aclose_forcefully(stream)
        else:
            await handler(secure)


async def open_tcp_listener(
    host: str, port: int, *, tls: ssl.SSLContext | None = None, handshake_timeout: float = HANDSHAKE_TIMEOUT
) -> StreamListener:
    """Bind and listen on every address of ``host``; port 0 picks a free one.

    Args:
        host: An address, a name, or "" for all interfaces.
        port: The port; ``listener.extra(anyio.abc.SocketAttribute.local_port)`` tells the real one.
        tls: Makes every connection TLS. Its ALPN protocols should be ``["h2"]``.
        handshake_timeout: Seconds a TLS handshake may take.

    Raises:
        OSError: The address cannot be had.
    """
    listeners = await anyio.create_tcp_listener(local_host=host or None, local_port=port, backlog=BACKLOG)
    return StreamListener(listeners, tls, handshake_timeout)


async def open_unix_listener(
    path: str | os.PathLike[str],
    *,
    tls: ssl.SSLContext | None = None,
    mode: int | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
) -> StreamListener:
    """Bind and listen on a Unix socket at ``path``, which is there until the listener is closed.

    A socket that nobody listens on any more, left behind by a process that was killed, is replaced.

    Args:
        path: Where; at most 107 bytes, in a folder that is there.
        tls: Makes every connection TLS.
        mode: The socket's permissions, before anybody can connect; by default what the umask leaves.
        handshake_timeout: Seconds a TLS handshake may take.

    Raises:
        OSError: It cannot be had: EADDRINUSE when another process listens there, EEXIST when something else than a
            socket is there, which is left alone.
    """
    from echo.transport.unix import UnixPath  # noqa: PLC0415 - Not every system has what it needs.

    # In a thread: it may wait for another process that is just doing the same, and for the disk.
    owned, bound = await anyio.to_thread.run_sync(UnixPath.bind, os.fspath(path), mode, BACKLOG)
    try:
        listener = await SocketListener.from_socket(bound)
    except BaseException:
        owned.remove()
        bound.close()
        raise
    return StreamListener(MultiListener([listener]), tls, handshake_timeout, owned)
