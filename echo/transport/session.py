"""One connection: a reader, a writer, and the table of its calls.

The reader takes bytes from the stream, has `echo.wire` make events of them and hands each to its call; it never waits
for a call. The writer is the only one to write: everybody else changes the state of the connection, which needs no
waiting, and rings for it. It is never cancelled while bytes are on their way, or the peer's HPACK table and ours would
part; when a connection ends, it is asked to finish and given a moment to.
"""

import math
import socket
import ssl
from abc import ABC, abstractmethod
from typing import Final, TypeVar

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from h2.errors import ErrorCodes

from echo.transport.call import Call
from echo.transport.keepalive import PING_DATA, Keepalive
from echo.transport.peer import Peer
from echo.transport.signal import Doorbell, Signal
from echo.wire.connection import Connection
from echo.wire.events import (
    ConnectionFailed,
    DataReceived,
    Event,
    PingAcknowledged,
    SettingsReceived,
)
from echo.wire.limits import Limits

CallT = TypeVar("CallT", bound=Call)

READ_SIZE: Final = 64 * 1024
AT_ONCE: Final = 16 * 1024  # Bytes that the writer sends without making way for other tasks.
LINGER: Final = 1.0  # Seconds the last bytes of a connection may take.


class Session(ABC):
    """What both roles share. `run` owns the stream and closes it.

    Attributes:
        limits: What the connection may occupy.
        peer: Who is at the other end.
        ending: Why the connection ended, for people; empty while it lives.
    """

    connection: Connection

    def __init__(self, stream: ByteStream, limits: Limits, keepalive: Keepalive | None) -> None:
        self.limits = limits
        self.peer = Peer(stream)
        self.ending = ""
        self._stream = stream
        raw = stream.extra(SocketAttribute.raw_socket, None) if isinstance(stream, SocketStream) else None
        self._socket = raw if isinstance(raw, socket.socket) else None  # asyncio has buffers of its own before it.
        self._keepalive = keepalive
        self._bell = Doorbell()
        self._pong = Signal()
        self._last_received = anyio.current_time()
        # Cancelled when the connection is to end. Its deadline is what the peer has to complete: first its SETTINGS,
        # later a header block.
        self._reading = anyio.CancelScope(deadline=self._last_received + limits.handshake_timeout)
        self._greeted = False
        self._writing = anyio.CancelScope()

    async def run(self) -> None:
        """Serve the connection until it ends, from either side, and close the stream.

        Ends normally however the connection ends; open calls are told. Cancelling it closes the connection at once.
        """
        async with self._stream, anyio.create_task_group() as io:
            io.start_soon(self._write)
            try:
                await self._exchange()
            finally:
                self._bell.close()
            io.cancel_scope.deadline = anyio.current_time() + LINGER

    async def _exchange(self) -> None:
        """Read until the connection ends, then end its calls."""
        try:
            async with anyio.create_task_group() as tasks:
                if self._keepalive is not None:
                    tasks.start_soon(self._keep_alive, self._keepalive)
                with self._reading:
                    await self._read()
                if self._reading.cancelled_caught and not self.ending:
                    self.connection.goaway(
                        ErrorCodes.ENHANCE_YOUR_CALM if self._greeted else ErrorCodes.SETTINGS_TIMEOUT
                    )
                    self._bell.ring()
                    self.stop(f"the peer completed nothing within {self.limits.handshake_timeout:g} s")
                tasks.cancel_scope.cancel()
        finally:
            self.stop("the connection was closed")
            self._end_calls()

    def stop(self, reason: str) -> None:
        """End the connection: what is queued is still sent, open calls end. Only the first reason counts."""
        self.ending = self.ending or reason
        self._reading.cancel()

    def wake_writer(self) -> None:
        """There may be something to send."""
        self._bell.ring()

    @abstractmethod
    def release(self, call: Call) -> None:
        """The call is over: take it off the table."""

    @abstractmethod
    def _call(self, stream_id: int) -> Call | None:
        """The call on this stream, if it is still on the table."""

    @abstractmethod
    def _end_calls(self) -> None:
        """Tell every call that the connection is gone."""

    @abstractmethod
    def _on_event(self, event: Event) -> None:
        """React to an event that only one of the roles knows."""

    async def _read(self) -> None:
        connection = self.connection
        stream = self._stream
        while not self.ending:
            try:
                data = await stream.receive(READ_SIZE)
            except anyio.EndOfStream:
                self.stop("the peer closed the connection")
                return
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                self.stop(f"the connection was lost ({error.__cause__ or 'reset'})")
                return
            except ssl.SSLError as error:  # A record that is none, an alert of the peer's.
                self.stop(f"the connection was lost (TLS: {error.reason or error})")
                return
            self._last_received = anyio.current_time()
            for event in connection.receive(data, self._last_received):
                if type(event) is DataReceived:
                    call = self._call(event.stream_id)
                    if call is not None:
                        call.feed(event.data)
                elif type(event) is PingAcknowledged and event.data == PING_DATA:
                    self._pong.set()
                elif type(event) is ConnectionFailed:
                    self.stop(f"the peer broke the protocol: {event.reason}")
                else:
                    if type(event) is SettingsReceived:
                        self._greeted = True
                    self._on_event(event)
            self._watch_progress()
            if connection.has_output:
                self._bell.ring()

    def _watch_progress(self) -> None:
        """Give the peer a deadline while it owes us its SETTINGS or the rest of a header block, and none otherwise."""
        if self._greeted and not self.connection.mid_headers:
            if self._reading.deadline != math.inf:
                self._reading.deadline = math.inf
        elif self._reading.deadline == math.inf:
            self._reading.deadline = anyio.current_time() + self.limits.handshake_timeout

    async def _write(self) -> None:
        with self._writing:
            await self._write_output()
        if self._writing.cancelled_caught:
            self.stop(f"the peer took nothing for {self.limits.write_timeout:g} s")

    async def _write_output(self) -> None:
        connection = self.connection
        try:
            while True:
                data = connection.take_output()
                for stream_id in connection.take_relieved():
                    call = self._call(stream_id)
                    if call is not None:
                        call.relieve()
                if not data:
                    if not await self._bell.answer():
                        return
                elif data := self._send_at_once(data):
                    self._writing.deadline = anyio.current_time() + self.limits.write_timeout
                    await self._stream.send(data)
                    self._writing.deadline = math.inf
        except anyio.EndOfStream:  # TLS tells a writer so, when the reader has found the connection unsound.
            self.stop("the peer closed the connection")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            self.stop(f"the connection was lost ({error.__cause__ or 'reset'})")
        except ssl.SSLError as error:
            self.stop(f"the connection was lost (TLS: {error.reason or error})")

    def _send_at_once(self, data: bytes) -> bytes:
        """Offer the kernel a little straight away; returns what it has not taken.

        Mostly it takes all. Then there is nothing to wait for, no deadline to set for that, and no trip through the
        scheduler to make, which every `send` of a stream ends with.
        """
        if self._socket is None or len(data) > AT_ONCE:
            return data
        try:
            return data[self._socket.send(data) :]
        except OSError:
            return data  # It is full, or there is something wrong with it, which sending in the usual way will tell.

    async def _keep_alive(self, keepalive: Keepalive) -> None:
        while True:
            silent = anyio.current_time() - self._last_received
            if silent < keepalive.time:
                await anyio.sleep(keepalive.time - silent)
                continue
            self.connection.ping(PING_DATA)
            self._bell.ring()
            with anyio.move_on_after(keepalive.timeout) as waiting:
                await self._pong.wait()
            if waiting.cancelled_caught and anyio.current_time() - self._last_received >= keepalive.timeout:
                self.stop(f"the peer did not answer a PING within {keepalive.timeout:g} s")
                return
