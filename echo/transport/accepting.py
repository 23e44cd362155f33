"""Accepts connections on a listening socket, survives a shortage of descriptors, and accepts the last ones waiting."""

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

log = logging.getLogger("echo.transport.listener")

RETRY_DELAY: Final = 0.1  # Seconds to wait after the process has run out of descriptors.
BACKLOG: Final = 1024
ACCEPTED_AT_ONCE: Final = 32  # Before other tasks run. With one at a time, the last of many that arrive together waits
# until all before it are served, since their work comes in between; a health check's connection may be that one.

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Errors of a single connection, to be treated like EAGAIN (accept(2)). Some exist only on Linux.
_GONE: Final = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "ECONNRESET", "EPERM", "EPROTO", "ETIMEDOUT", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN"),
        *("ENONET", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH", "ENOSR", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT"),
    )
    if hasattr(errno, name)
)

OnAccept = Callable[[socket.socket], None]
"""Takes an accepted connection; never waits."""
WaitForRoom = Callable[[], Awaitable[None]]
"""Waits until another connection can be taken."""


async def accept(listening: socket.socket, on_accept: OnAccept, wait_for_room: WaitForRoom | None = None) -> None:
    """Accept connections until cancelled; waits for room before each.

    On asyncio, anyio's own ``accept`` would lose a connection if it were cancelled just as it accepts one.

    Raises:
        OSError: The socket cannot be listened on any more.
        anyio.ClosedResourceError: The socket was closed with `close`.
    """
    warn = log.warning
    while True:
        await checkpoint()
        for _ in range(ACCEPTED_AT_ONCE):
            if wait_for_room is not None:
                await wait_for_room()
            try:
                accepted = listening.accept()[0]
            except BlockingIOError:
                await anyio.wait_readable(listening)
            except OSError as error:
                if error.errno in EXHAUSTED:
                    warn("cannot accept connections, retrying: %s", error)
                    warn = log.debug  # Warn once per shortage.
                    await anyio.sleep(RETRY_DELAY)
                elif error.errno not in _GONE:
                    raise
            else:
                warn = log.warning
                on_accept(accepted)


async def accept_last(listening: socket.socket, on_accept: OnAccept) -> None:
    """Accept the connections in the kernel's queue, which it would reset otherwise, and close the socket.

    Nothing is awaited between finding the queue empty and closing, so hardly any client can connect in between.
    """
    for _ in range(BACKLOG):
        try:
            accepted = listening.accept()[0]
        except BlockingIOError:  # None left.
            break
        except OSError as error:
            if error.errno in EXHAUSTED:
                with anyio.move_on_after(RETRY_DELAY) as quiet:
                    await anyio.wait_readable(listening)
                if quiet.cancelled_caught:  # None left: accept checks for a descriptor first, so it could not tell.
                    break
                await anyio.sleep(RETRY_DELAY)
            elif error.errno not in _GONE:
                log.warning("cannot accept the last connections: %s", error)
                break
        else:
            on_accept(accepted)
    listening.close()


def close(listening: socket.socket) -> None:
    """Close the socket, also while `accept` waits for it."""
    if listening.fileno() >= 0:
        anyio.notify_closing(listening)
        listening.close()
