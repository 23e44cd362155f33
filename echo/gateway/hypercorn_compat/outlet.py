"""Sends bytes to the peer of one connection.

Upstream: every send takes a lock, a cancel scope and thus passes through the scheduler, even if the kernel takes
everything at once. A send is shielded from cancellation, rightly, since half a frame would break the connection; but if
the peer does not read, nothing can end it, not even a shutdown. A send waiting for its turn is not shielded. If it is
cancelled, its headers are lost although HPACK has counted them, and the peer misreads all later headers.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from echo.gateway.hypercorn_compat.timing import PATIENCE
from echo.transport import MAX_NOT_SENT

CHUNK: Final = 64 * 1024  # Bytes passed to the kernel at a time; each chunk taken counts as progress.

STUCK: Final = 0.05  # A send that takes longer, in seconds, has waited for the peer.

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Outlet:
    """Sends bytes in order, and completely as long as the peer reads them.

    Attributes:
        stuck: The peer has read nothing for `PATIENCE`, and the stream was closed.
    """

    def __init__(self, stream: Stream, progressed: Callable[[], None]) -> None:
        """``progressed`` is called when the peer has read data after not reading for a while."""
        self.stuck = False
        self._stream = stream
        self._progressed = progressed
        self._plain = stream if isinstance(stream, trio.SocketStream) else None
        self._lock = trio.Lock()
        self._rest = b""  # Accepted by `send_now`, but not taken by the kernel.

    def tune(self, plain: trio.socket.SocketType) -> None:
        """Set the socket's options."""
        with suppress(OSError, AttributeError):  # Not available on every system, nor on Unix sockets.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_NOT_SENT)

    @property
    def pending(self) -> bool:
        """Whether bytes accepted by `send_now` are waiting for the next `send`."""
        return bool(self._rest)

    def send_now(self, data: bytes) -> bool:
        """Accept the bytes and offer them to the kernel, unless another send is in progress. Returns whether it did."""
        if self._plain is None or self._rest or self._lock.locked():
            return False
        self._rest = self._offer(self._plain, data)
        return True

    async def send(self, data: bytes) -> None:
        """Send the bytes, after pending ones. When cancelled, it still waits until the peer has taken them.

        Raises:
            trio.BrokenResourceError: The peer is gone, or has read nothing for `PATIENCE`; the stream is then closed.
            trio.ClosedResourceError: The stream was closed.
        """
        if self._lock.locked():
            with trio.CancelScope(shield=True):  # HPACK has counted these headers: send them (RFC 7541 §2.2).
                await self._lock.acquire()
        else:
            self._lock.acquire_nowait()  # `acquire` would always pass through the scheduler.
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
        """Offer data to the kernel and return what it does not take. A socket error shows up in the next send."""
        with suppress(OSError):
            return data[os.write(stream.socket.fileno(), data) :]
        return data

    async def _send_chunk(self, data: bytes) -> None:
        began = trio.current_time()
        with trio.move_on_after(PATIENCE, shield=True):  # Half a frame would break the connection.
            await self._stream.send_all(data)
            if trio.current_time() - began > STUCK:
                self._progressed()
            return
        self.stuck = True
        await trio.aclose_forcefully(self._stream)
        raise trio.BrokenResourceError("the peer reads nothing")
