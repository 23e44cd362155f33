"""What goes to the peer of one connection.

Upstream: every send takes a lock, a cancel scope and so trips through the scheduler, also when the kernel takes all at
once; and a send, rightly shielded from cancellation as half a frame would be the end of the connection, can then never
be ended if the peer does not read, by a shutdown neither. One that waits for its turn is not shielded: cancelled, it is
lost, and with it HPACK's account of the headers in it, so that the peer takes all later ones for others.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from echo.gateway.hypercorn_compat.timing import PATIENCE

CHUNK: Final = 64 * 1024  # Bytes that are handed to the kernel at a time: each one taken is progress.
NOT_SENT: Final = 128 * 1024  # Bytes the kernel may hold unsent: else it takes megabytes, then none for minutes.

STUCK: Final = 0.05  # Seconds after which a send must have waited for the peer.

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Outlet:
    """Sends bytes in the order they are given, whole or not at all as long as the peer takes them."""

    def __init__(self, stream: Stream, progressed: Callable[[], None]) -> None:
        """``progressed`` is called when the peer has made room that it had not made for a while."""
        self._stream = stream
        self._progressed = progressed
        self._plain = stream if isinstance(stream, trio.SocketStream) else None
        self._lock = trio.Lock()
        self._rest = b""  # Taken by `send_now`, but not by the kernel.

    def tune(self, plain: trio.socket.SocketType) -> None:
        """Set up the socket below."""
        with suppress(OSError, AttributeError):  # Not every system has it, nor a Unix socket.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)

    @property
    def pending(self) -> bool:
        """Whether something that `send_now` has taken waits for the next `send`."""
        return bool(self._rest)

    def send_now(self, data: bytes) -> bool:
        """Take the bytes if nothing else is under way, and offer them to the kernel; tell whether they were taken."""
        if self._plain is None or self._rest or self._lock.locked():
            return False
        self._rest = self._offer(self._plain, data)
        return True

    async def send(self, data: bytes) -> None:
        """Send the bytes, after what is pending. Cancelling it waits for the peer to take them.

        Raises:
            trio.BrokenResourceError: The peer is gone, or has taken nothing for `PATIENCE`; the stream is closed then.
            trio.ClosedResourceError: The stream was closed.
        """
        if self._lock.locked():
            with trio.CancelScope(shield=True):  # HPACK has counted what is not to be lost now (RFC 7541 §2.2).
                await self._lock.acquire()
        else:
            self._lock.acquire_nowait()  # Without the trip through the scheduler that `acquire` always makes.
        try:
            if self._rest:
                data, self._rest = self._rest + data, b""
            elif self._plain is not None:
                data = self._offer(self._plain, data)
            for start in range(0, len(data), CHUNK):
                await self._send_chunk(data[start : start + CHUNK])
        finally:
            self._lock.release()

    @staticmethod
    def _offer(stream: trio.SocketStream, data: bytes) -> bytes:
        """What the kernel does not take of it. What is wrong with the socket, if anything, shows in the next send."""
        with suppress(OSError):
            return data[os.write(stream.socket.fileno(), data) :]
        return data

    async def _send_chunk(self, data: bytes) -> None:
        began = trio.current_time()
        with trio.move_on_after(PATIENCE, shield=True):  # Half a frame would be the end of the connection.
            await self._stream.send_all(data)
            if trio.current_time() - began > STUCK:
                self._progressed()
            return
        await trio.aclose_forcefully(self._stream)
        raise trio.BrokenResourceError("the peer takes nothing")
