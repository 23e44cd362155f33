"""Listening sockets, TCP or Unix, plain or with TLS, that outlive a shortage of file descriptors."""

import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio
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

from echo.transport.handshake import RefusedError, accept_tls, linger
from echo.transport.peer import Peer
from echo.transport.refusals import RefusalLog
from echo.transport.tally import Tally

if TYPE_CHECKING:
    from echo.transport.unix import UnixPath

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT: Final = 20.0  # Seconds a TLS handshake may take.
RETRY_DELAY: Final = 0.1  # Seconds until accept is tried again after the process ran out of descriptors.
BACKLOG: Final = 1024

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Errors of the one connection, which accept(2) says to treat like EAGAIN. Some of them are Linux's alone.
_GONE: Final = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "ECONNRESET", "EPERM", "EPROTO", "ETIMEDOUT", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN"),
        *("ENONET", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH", "ENOSR", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT"),
    )
    if hasattr(errno, name)
)

Handler = Callable[[ByteStream], Coroutine[Any, Any, Any]]


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
            reception = _Reception(
                handler,
                task_group or connections,
                greetings,
                self._tls,
                self._handshake_timeout,
                RefusalLog(log),
                self.tally,
            )
            with self._accepting:
                async with anyio.create_task_group() as accepting:
                    for listener in self._sockets:
                        accepting.start_soon(_accept, listener, reception)
            self._remove_path()
            for listener in self._sockets:
                await _accept_last(listener, reception)

    def retire(self) -> None:
        """Stop accepting. `serve` first takes over the connections the kernel has already accepted, then returns."""
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


@dataclass(frozen=True, slots=True)
class _Reception:
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

    def welcome(self, stream: SocketStream) -> None:
        """Start serving the connection. Never waits."""
        if self.tls is None:
            self.connections.start_soon(self.handler, stream)
        else:
            self.greetings.start_soon(self._greet, stream, self.tls)

    async def _greet(self, stream: SocketStream, tls: ssl.SSLContext) -> None:
        peer = Peer(stream)  # Now: the address of a client that has gone is not known any more.
        async with AsyncExitStack() as closing:
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
                closing.pop_all()  # The handler closes it.
                self.connections.start_soon(self.handler, secure)


async def _accept(listener: SocketListener, reception: _Reception) -> None:
    warn = log.warning
    while True:
        try:
            stream = await listener.accept()
        except (OSError, anyio.BrokenResourceError) as error:
            if _number(error) in _EXHAUSTED:
                warn("cannot accept connections, retrying: %s", _cause(error))
                warn = log.debug  # Once for each shortage.
                await anyio.sleep(RETRY_DELAY)
            elif _number(error) not in _GONE:
                raise _cause(error) from None
        else:
            warn = log.warning
            reception.welcome(stream)


async def _accept_last(listener: SocketListener, reception: _Reception) -> None:
    """Take over the connections the kernel has accepted, which it would reset otherwise, and close the socket.

    There is no await between finding none left and closing, so hardly any client can slip in between.
    """
    listening = listener.extra(SocketAttribute.raw_socket)
    for _ in range(BACKLOG):
        try:
            accepted = listening.accept()[0]
        except BlockingIOError:  # None left.
            break
        except OSError as error:
            if error.errno in _EXHAUSTED:
                with anyio.move_on_after(RETRY_DELAY) as quiet:
                    await anyio.wait_readable(listening)
                if quiet.cancelled_caught:  # None left; accept looks for a descriptor first, and so could not say.
                    break
                await anyio.sleep(RETRY_DELAY)
            elif error.errno not in _GONE:
                log.warning("cannot accept the last connections: %s", error)
                break
        else:
            stream = await _wrapped(accepted)
            if stream is not None:
                reception.welcome(stream)
    await listener.aclose()


async def _wrapped(accepted: socket.socket) -> SocketStream | None:
    """A connection as the listener's own `accept` returns it; None if the client has gone already."""
    try:
        if accepted.family == getattr(socket, "AF_UNIX", None):
            return await UNIXSocketStream.from_socket(accepted)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return await SocketStream.from_socket(accepted)
    except BaseException as error:
        accepted.close()
        if isinstance(error, OSError | ValueError):  # anyio raises the latter if it is not connected any more.
            return None
        raise


def _cause(error: Exception) -> BaseException:
    """The system's error; on trio, anyio wraps it."""
    return error if isinstance(error, OSError) else error.__cause__ or error


def _number(error: Exception) -> int | None:
    cause = _cause(error)
    return cause.errno if isinstance(cause, OSError) else None


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
