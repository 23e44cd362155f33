"""Listening sockets, TCP or Unix, plain or with TLS, that outlive a shortage of file descriptors."""

import logging
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import ByteStream, Listener, SocketListener, SocketStream, TaskGroup
from anyio.streams.stapled import MultiListener

from echo.transport.accepting import BACKLOG, Room, Welcome, accept, accept_last
from echo.transport.reception import HANDSHAKE_TIMEOUT, Handler, Reception
from echo.transport.refusals import RefusalLog
from echo.transport.tally import Tally

if TYPE_CHECKING:
    from echo.transport.unix import UnixPath

log = logging.getLogger(__name__)


class StreamListener(Listener[ByteStream]):
    """Bound and listening; hands each accepted connection to a task of its own. `serve` may be called once.

    Attributes:
        tally: Where TLS handshakes that fail are counted.
    """

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
        self.tally = Tally()
        self._accepting = anyio.CancelScope()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the sockets: ``anyio.abc.SocketAttribute.local_port`` above all."""
        return self._listeners.extra_attributes

    async def serve(self, handler: Handler, task_group: TaskGroup | None = None) -> None:
        """Accept connections and run the handler for each in ``task_group``, until `retire` is called.

        TLS handshakes run in a nursery of its own, so that it returns when the last of them is over. Cancelling it
        closes the connections that are still in their handshake, or being told why theirs failed.
        """
        async with anyio.create_task_group() as connections, anyio.create_task_group() as greetings:
            reception = Reception(
                handler,
                task_group or connections,
                greetings,
                self._tls,
                self._handshake_timeout,
                RefusalLog(log),
                self.tally,
            )
            await self.accept(reception.welcome)

    async def accept(self, welcome: Welcome, room: Room | None = None) -> None:
        """Accept connections and give them away as they are, without TLS, until `retire` is called.

        Args:
            welcome: Called with each.
            room: Waits until there is room for another. The kernel's own queue holds what comes meanwhile. The last
                ones, once `retire` has been called, are not waited with: `BACKLOG` at most for each socket.
        """
        with self._accepting:
            async with anyio.create_task_group() as accepting:
                for listener in self._sockets:
                    accepting.start_soon(accept, listener, welcome, room)
        self._remove_path()
        for listener in self._sockets:
            await accept_last(listener, welcome)

    def retire(self) -> None:
        """Stop accepting: first the connections the kernel has already accepted are taken over, then all returns."""
        self._accepting.cancel()

    async def aclose(self) -> None:
        """Close the sockets; a Unix socket's path is gone then, unless somebody has put something else in its place."""
        self._remove_path()
        async with AsyncExitStack() as closing:  # When cancelled, too, all of them.
            for listener in self._sockets:
                closing.push_async_callback(listener.aclose)

    @property
    def _sockets(self) -> Iterator[SocketListener]:
        for listener in self._listeners.listeners:
            assert isinstance(listener, SocketListener)
            yield listener

    def _remove_path(self) -> None:
        path, self._path = self._path, None  # Once: the file of another may have the same inode later.
        if path is not None:
            try:
                path.remove()
            except OSError as error:  # The process may have given up its right to, after it bound the socket.
                log.warning("cannot remove the socket %s: %s", path.path, error)


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
            socket is there, which is left alone; BlockingIOError when another program keeps the folder locked.
    """
    from echo.transport.unix import bind_unix  # noqa: PLC0415 - Not every system has what it needs.

    owned, bound = await bind_unix(os.fspath(path), mode, BACKLOG)
    try:
        listener = await SocketListener.from_socket(bound)
    except BaseException:
        owned.remove()
        bound.close()
        raise
    return StreamListener(MultiListener([listener]), tls, handshake_timeout, owned)
