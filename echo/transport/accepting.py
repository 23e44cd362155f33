"""Accepting connections on a listening socket, through a shortage of file descriptors and to the last one waiting."""

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream, UNIXSocketStream

log = logging.getLogger("echo.transport.listener")

RETRY_DELAY: Final = 0.1  # Seconds until accept is tried again after the process ran out of descriptors.
BACKLOG: Final = 1024

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Errors of the one connection, which accept(2) says to treat like EAGAIN. Some of them are Linux's alone.
_GONE: Final = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "ECONNRESET", "EPERM", "EPROTO", "ETIMEDOUT", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN"),
        *("ENONET", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH", "ENOSR", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT"),
    )
    if hasattr(errno, name)
)

Welcome = Callable[[SocketStream], None]
"""Takes an accepted connection; never waits."""
Room = Callable[[], Awaitable[None]]
"""Waits until another connection can be taken."""


async def accept(listener: SocketListener, welcome: Welcome, room: Room | None = None) -> None:
    """Accept connections until cancelled, each as soon as there is room for it.

    Raises:
        OSError: The socket cannot be listened on any more.
    """
    warn = log.warning
    while True:
        if room is not None:
            await room()
        try:
            stream = await listener.accept()
        except (OSError, anyio.BrokenResourceError) as error:
            if _number(error) in EXHAUSTED:
                warn("cannot accept connections, retrying: %s", _cause(error))
                warn = log.debug  # Once for each shortage.
                await anyio.sleep(RETRY_DELAY)
            elif _number(error) not in _GONE:
                raise _cause(error) from None
        else:
            warn = log.warning
            welcome(stream)


async def accept_last(listener: SocketListener, welcome: Welcome) -> None:
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
            if error.errno in EXHAUSTED:
                with anyio.move_on_after(RETRY_DELAY) as quiet:
                    await anyio.wait_readable(listening)
                if quiet.cancelled_caught:  # None left; accept looks for a descriptor first, and so could not say.
                    break
                await anyio.sleep(RETRY_DELAY)
            elif error.errno not in _GONE:
                log.warning("cannot accept the last connections: %s", error)
                break
        else:
            stream = await wrapped(accepted)
            if stream is not None:
                welcome(stream)
    await listener.aclose()


async def wrapped(accepted: socket.socket) -> SocketStream | None:
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
