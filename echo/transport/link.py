"""The seam between a session and the network: bytes, and one error for a lost connection.

The exceptions of sockets, TLS and anyio are translated here and nowhere else. `SocketLink` uses the socket itself (on
trio), so that it can send without waiting and sees every byte of progress. `StreamLink` takes any
`anyio.abc.ByteStream`: TLS, memory, asyncio's transports.
"""

import math
import socket
import ssl
from abc import ABC, abstractmethod
from contextlib import suppress
from types import TracebackType
from typing import Final

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from echo.transport.backend import Backend
from echo.transport.tls_stream import TLSByteStream

READ_SIZE: Final = 64 * 1024
PIECE: Final = 16 * 1024  # Bytes given to a `ByteStream` at once: one TLS record.
MAX_NOT_SENT: Final = 128 * 1024  # Bytes that the kernel queues beyond what the peer's TCP window allows.
STALL_CHECKS: Final = 10  # How often a waiting write checks for progress before it gives up.
LINGER: Final = 1.0  # Seconds of silence after which the peer of an ended connection is taken to be done.


_FOREIGN: Final = (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class LinkLostError(Exception):
    """The connection was lost. The text is a readable reason."""


class Link(ABC):
    """A connection to a peer; ``async with`` closes it. One task may receive while another sends.

    Args:
        stream: The stream that carries the bytes.
        stall: Seconds that sending may make no progress.
    """

    def __init__(self, stream: ByteStream, stall: float) -> None:
        self._stream = stream
        self._stall = stall

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = error is not None  # Then being cancelled here must not hide the error. Closing a socket takes no time.
        with suppress(*_FOREIGN), anyio.move_on_after(LINGER if failed else None, shield=failed):
            await self._stream.aclose()

    @abstractmethod
    async def receive(self) -> bytes:
        """Wait for bytes and return them; empty once the peer has closed. Raises LinkLostError."""

    def send_now(self, data: bytes) -> int:  # noqa: ARG002 - for those that can
        """Offer bytes to the kernel without waiting; returns how many it took, possibly none."""
        return 0

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send all the data. Cancelling it breaks the connection.

        Raises:
            LinkLostError: The connection was lost, or sending has made no progress for ``stall`` seconds.
        """

    async def linger(self) -> None:
        """Send nothing more; wait until the peer has received everything, has closed, or makes no progress.

        Closing a socket resets the connection if there is unread input or if more arrives later. What the kernel has
        not delivered by then is lost.
        """
        raw = self._stream.extra(SocketAttribute.raw_socket, None)
        if raw is not None:
            with suppress(OSError, LinkLostError):
                with suppress(TypeError):  # uvloop's sockets refuse. GOAWAY has told the peer, too.
                    raw.shutdown(socket.SHUT_WR)
                await self._discard_input(raw)

    async def _discard_input(self, raw: socket.socket) -> None:
        """Read and drop input until the peer closes, is silent and has received everything, or makes no progress."""
        left, until = _undelivered(raw), anyio.current_time() + self._stall
        while anyio.current_time() < until:
            with anyio.move_on_after(LINGER) as silence:
                if not await self.receive():
                    return
            before, left = left, _undelivered(raw)
            if silence.cancelled_caught and not left:
                return
            if left < before:
                until = anyio.current_time() + self._stall


class SocketLink(Link):
    """A plain socket."""

    def __init__(self, stream: ByteStream, raw: socket.socket, stall: float, backend: Backend) -> None:
        super().__init__(stream, stall)
        self._socket = raw
        self._wait_readable = backend.wait_readable

    async def receive(self) -> bytes:  # noqa: D102 - as in Link
        while True:
            try:
                await self._wait_readable(self._socket)
                return self._socket.recv(READ_SIZE)
            except (BlockingIOError, InterruptedError):
                continue
            except _FOREIGN as error:
                raise _lost(error) from error

    def send_now(self, data: bytes) -> int:  # noqa: D102 - as in Link
        try:
            return self._socket.send(data)
        except OSError:
            return 0  # The buffer is full, or the connection is broken, which `send` will report.

    async def send(self, data: bytes) -> None:  # noqa: D102 - as in Link
        try:
            await self.send_all(data)
        except _FOREIGN as error:
            raise _lost(error) from error

    async def send_all(self, data: bytes) -> None:
        """As `send`, but raises the socket's own errors, and TimeoutError when it makes no progress."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, InterruptedError):
                await self._wait_writable()

    async def _wait_writable(self) -> None:
        """Wait until the kernel takes more; raises TimeoutError if it delivers nothing for ``stall`` seconds."""
        left, patience = _undelivered(self._socket), self._stall
        while True:
            with anyio.move_on_after(self._stall / STALL_CHECKS) as waiting:
                await anyio.wait_writable(self._socket)
            if not waiting.cancelled_caught:
                return
            before, left = left, _undelivered(self._socket)
            patience = self._stall if left < before else patience - self._stall / STALL_CHECKS
            if patience <= 0:
                raise TimeoutError


class StreamLink(Link):
    """Any stream. It makes progress when it has taken a piece."""

    async def receive(self) -> bytes:  # noqa: D102 - as in Link
        try:
            return await self._stream.receive(READ_SIZE)
        except anyio.EndOfStream:
            return b""
        except _FOREIGN as error:
            raise _lost(error) from error

    async def send(self, data: bytes) -> None:  # noqa: D102 - as in Link
        try:
            for start in range(0, len(data), PIECE):
                with anyio.fail_after(self._stall):
                    await self._stream.send(data[start : start + PIECE] if len(data) > PIECE else data)
        except _FOREIGN as error:
            raise _lost(error) from error


def link_over(stream: ByteStream, stall: float, backend: Backend) -> Link:
    """The right link for the stream."""
    raw = stream.extra(SocketAttribute.raw_socket, None)
    if raw is not None and raw.family != getattr(socket, "AF_UNIX", None):
        # Otherwise a socket takes megabytes at once, then nothing until a slow peer has read a third of them.
        with suppress(OSError, AttributeError):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_NOT_SENT)
    carrier = stream.transport if isinstance(stream, TLSByteStream) else stream
    if isinstance(carrier, SocketStream) and isinstance(raw, socket.socket):
        link = SocketLink(carrier, raw, stall, backend)
        if not isinstance(stream, TLSByteStream):
            return link
        stream.send_records = link.send_all
        stall = math.inf  # The socket's link notices.
    return StreamLink(stream, stall)


def _lost(error: Exception) -> LinkLostError:
    """Translate an exception of a socket, TLS or anyio."""
    if isinstance(error, TimeoutError):
        return LinkLostError("the other side took no data for too long")
    if isinstance(error, anyio.EndOfStream):  # TLS raises it in `send` after an error in `receive`.
        return LinkLostError("the other side closed the connection")
    if isinstance(error, ssl.SSLError):  # An invalid record, or the peer's alert.
        return LinkLostError(f"the connection was lost (TLS: {error.reason or error})")
    cause = error.__cause__ or error
    words = cause.strerror if isinstance(cause, OSError) else str(cause)
    return LinkLostError(f"the connection was lost ({words or 'reset'})")


def _undelivered(raw: socket.socket) -> int:
    """Bytes that the kernel has not delivered yet; 0 where it does not tell (tcp(7), SIOCOUTQ)."""
    try:
        import fcntl  # noqa: PLC0415 - Not every system has these modules.
        import termios  # noqa: PLC0415

        return int.from_bytes(fcntl.ioctl(raw, termios.TIOCOUTQ, bytes(4)), "little")
    except (ImportError, OSError):
        return 0
