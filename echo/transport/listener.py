"""Listening sockets, TCP or Unix, plain text or TLS, that survive a shortage of file descriptors."""

import errno
import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream
from anyio.streams.stapled import MultiListener

from echo.targets import join
from echo.transport.accepting import BACKLOG, OnAccept, WaitForRoom, accept, accept_last, close
from echo.transport.background import open_background
from echo.transport.handshake import TlsContext, check_context
from echo.transport.starting import HANDSHAKE_TIMEOUT, AcceptedConnection, ServingListener, Start

if TYPE_CHECKING:
    from echo.transport.unix import UnixPath

log = logging.getLogger(__name__)

ATTEMPTS: Final = 10  # To find a port that is free for IPv6 and IPv4.


class StreamListener(ServingListener):
    """A listening socket, or several."""

    def __init__(
        self,
        listeners: MultiListener[SocketStream],
        tls: TlsContext | None,
        handshake_timeout: float,
        path: "UnixPath | None" = None,
    ) -> None:
        super().__init__(tls, handshake_timeout)
        self._listeners = listeners
        self._path = path
        self._accepting = anyio.CancelScope()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The attributes of the sockets, for instance ``anyio.abc.SocketAttribute.local_port``."""
        return self._listeners.extra_attributes

    async def _start_each(self, start: Start) -> None:
        await self.accept(lambda accepted: start(AcceptedConnection(accepted)))

    async def accept(self, on_accept: OnAccept, wait_for_room: WaitForRoom | None = None) -> None:
        """Accept connections without TLS, and pass their sockets to a function, until `retire` is called.

        Args:
            on_accept: Called with each socket.
            wait_for_room: Waits until there is room for one more; meanwhile the kernel queues connections. After
                `retire` the last ones, at most `BACKLOG` for each socket, are accepted without waiting.
        """
        with self._accepting:
            async with open_background() as accepting:
                for listening in self._sockets:
                    accepting.start_soon(accept, listening, on_accept, wait_for_room)
        self._remove_path()
        for listening in self._sockets:
            await accept_last(listening, on_accept)

    def retire(self) -> None:
        """Stop accepting. Connections in the kernel's queue are still accepted, then `serve` and `accept` return."""
        self._accepting.cancel()

    async def aclose(self) -> None:
        """Close the sockets. Removes a Unix socket's path, unless it has been replaced by something else."""
        self._remove_path()
        for listening in self._sockets:
            close(listening)

    @property
    def _sockets(self) -> list[socket.socket]:
        return [listener.extra(SocketAttribute.raw_socket) for listener in self._listeners.listeners]

    def _remove_path(self) -> None:
        path, self._path = self._path, None  # Only once: another file may get the same inode later.
        if path is not None:
            try:
                path.remove()
            except OSError as error:  # The process may have dropped the permission since it bound the socket.
                log.warning("cannot remove the socket %s: %s", path.path, error)


async def open_tcp_listener(
    host: str, port: int, *, tls: TlsContext | None = None, handshake_timeout: float = HANDSHAKE_TIMEOUT
) -> StreamListener:
    """Bind and listen on every address of ``host``; port 0 picks a free one.

    Args:
        host: An address or a name; ``::`` or "" for all addresses, those of IPv4 too.
        port: The port; for 0, ``listener.extra(anyio.abc.SocketAttribute.local_port)`` is the real one.
        tls: The context for TLS; its ALPN protocols should be ``["h2"]``. Or a function that returns it, called for
            each connection: return a new one when the certificate has been renewed. None for plain text.
        handshake_timeout: Seconds a TLS handshake may take.

    Raises:
        OSError: The address, which it names, cannot be listened on.
        TypeError: ``tls`` is neither a context nor a function.
    """
    check_context(tls)
    try:
        if host == "::" or (host == "" and socket.has_dualstack_ipv6()):
            listeners = await _listen_anywhere(port)
        else:
            listeners = await _listen(host or "0.0.0.0", port)  # noqa: S104 - as asked
    except UnicodeError as error:
        raise OSError(errno.EINVAL, f"This is not a valid host name ({error})", join(host, port)) from error
    except OSError as error:
        error.filename = join(host, port)
        raise
    return StreamListener(listeners, tls, handshake_timeout)


async def _listen_anywhere(port: int) -> MultiListener[SocketStream]:
    """Listen on all addresses, with a socket for each family: on a single one, IPv4 clients are ``::ffff:ADDRESS``."""
    attempts = 1 if port else ATTEMPTS
    while True:
        attempts -= 1
        ipv6 = await _listen("::", port)
        try:
            ipv4 = await _listen("0.0.0.0", ipv6.extra(SocketAttribute.local_port))  # noqa: S104 - as asked
        except OSError:
            await ipv6.aclose()
            if not attempts:
                raise
        else:
            return MultiListener([ipv6, ipv4])


async def _listen(host: str, port: int) -> MultiListener[SocketStream]:
    return await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=BACKLOG)


async def open_unix_listener(
    path: str | os.PathLike[str],
    *,
    tls: TlsContext | None = None,
    mode: int | None = None,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
) -> StreamListener:
    """Bind and listen on a Unix socket at ``path``, which exists until the listener is closed.

    Replaces a dead socket that a killed process has left behind.

    Args:
        path: The path, at most 107 bytes, in an existing folder.
        tls: The context for TLS, or a function that returns it, as in `open_tcp_listener`; None for plain text.
        mode: The socket's permissions, set before anybody can connect; by default the umask decides.
        handshake_timeout: Seconds a TLS handshake may take.

    Raises:
        OSError: It cannot be bound: EADDRINUSE if another process listens there, EEXIST if the path is something other
            than a socket, which is left alone; BlockingIOError if another program keeps the folder locked.
    """
    check_context(tls)
    from echo.transport.unix import bind_unix  # noqa: PLC0415 - Not every system has the modules it imports.

    owned, bound = await bind_unix(os.fspath(path), mode, BACKLOG)
    try:
        listener = await SocketListener.from_socket(bound)
    except BaseException:
        owned.remove()
        bound.close()
        raise
    return StreamListener(MultiListener([listener]), tls, handshake_timeout, owned)
