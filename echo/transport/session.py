"""One connection: a reader, a writer, and its calls.

The reader takes bytes from the link, turns them into events with `echo.wire`, and passes each to its call. It never
waits for a call.

Output is sent by the task that makes it, or by the writer. The first task to flush after the reader or the writer has
run offers its output to the kernel at once, which usually takes all of it; so an answer leaves without another trip
through the scheduler. Output that other tasks add before the writer runs is left to the writer, so a burst leaves in
one piece. Only the writer waits when the kernel's buffer is full, and until it is done nobody else sends. It is never
cancelled in the middle of a write, or the peer's HPACK table would no longer match ours.

When a connection ends, the writer finishes first. A connection that ends gracefully lingers until the peer has received
everything, as long as it makes progress; the caller bounds the time. A failed one gets only a moment.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import anyio
from anyio.abc import ByteStream

from echo.transport.backend import Backend, Nursery, current_backend
from echo.transport.call import Call
from echo.transport.keepalive import PING_DATA, Keepalive
from echo.transport.link import LINGER, LinkLostError, link_over
from echo.transport.peer import Peer
from echo.transport.tally import Tally
from echo.transport.waiting import Doorbell, SignalLike, until_read
from echo.wire import Connection, ConnectionFailed, ErrorCode, Limits, PingAcknowledged, SettingsReceived


class Session(ABC):
    """What both roles share. `run` owns the stream and closes it.

    Attributes:
        limits: The connection's limits.
        max_unsent: How many bytes of one call may be unsent before its sender waits.
        peer: The other end.
        backend: The event loop's primitives.
        ending: A readable reason why the connection ended; empty while it is open.
        stream: The stream that carries it. Only its extra attributes may be used.
        opened: When it was opened, on the event loop's clock.
        last_received: When the peer's last bytes arrived, on the same clock.
        tally: The counters that it shares with other connections.
    """

    connection: Connection[Any]
    opened: float
    last_received: float
    _peer_role: ClassVar[str]

    def __init__(
        self, stream: ByteStream, limits: Limits, keepalive: Keepalive | None, tally: Tally | None = None
    ) -> None:
        self.tally: Tally = Tally() if tally is None else tally
        self.limits = limits
        self.max_unsent: int = limits.max_unsent  # A copy, as it is read for every message.
        self.stream = stream
        self.peer: Peer = Peer(stream)
        self.backend: Backend = current_backend()
        self.backend.defer_interrupts(self.run, self._write, self._keep_alive)
        self.ending: str = ""
        self._link = link_over(stream, limits.write_timeout, self.backend)
        self._keepalive = keepalive
        self._bell = Doorbell(self.backend.signal())
        self._unsent = b""  # Bytes that the kernel has not taken, for the writer.
        self._due: list[Callable[[], None]] = []  # Functions that the writer calls at the end of its next turn.
        self._flush_at_once = True  # Whether the next flush goes to the kernel, or is left to the writer.
        self._pongs: dict[bytes, SignalLike] = {}  # Wake who waits for the answer to a PING with this content.
        self.opened = self.last_received = anyio.current_time()
        # Cancelled to end the connection. Its deadline bounds what the peer must complete: first its SETTINGS, later
        # a header block.
        self._reading = anyio.CancelScope(deadline=self.last_received + limits.handshake_timeout)
        self._greeted = False
        self._linger = LINGER
        self._tasks: Nursery | None = None  # Runs handlers and other tasks while the reader runs.
        self._reactions: dict[type, Callable[[Any], None]] = {
            SettingsReceived: self._on_settings,
            PingAcknowledged: self._on_pong,
            ConnectionFailed: self._on_failure,
        }

    async def run(self) -> None:
        """Run the connection until either side ends it, then end its calls and close the stream.

        Returns normally, however the connection ends. Cancelling it closes the connection at once.
        """
        self.tally.connections += 1
        try:
            async with self._link:
                async with anyio.create_task_group() as io:
                    self._bell.ring()  # To send our preface.
                    io.start_soon(self._write)
                    try:
                        await self._exchange()
                    finally:
                        self._bell.close()
                    io.cancel_scope.deadline = anyio.current_time() + self._linger
                if self._linger > LINGER:
                    await self._link.linger()
        finally:
            self._run_due()
            self.tally.ended += 1
            self._reactions.clear()  # What refers back to this session, or it would wait for a garbage collection.
            self.connection.let_go()

    async def _exchange(self) -> None:
        """Read until the connection ends, then end its calls."""
        async with self.backend.open_nursery() as self._tasks:
            try:
                self._start_tasks(self._tasks)
                with self._reading:
                    await self._read()
                if self._reading.cancelled_caught and not self.ending:
                    self._give_up_waiting()
            finally:
                self.stop("the connection was closed")
                self._end_calls()
                self._tasks.cancel_scope.cancel()  # Also handlers that go on although they have ended their calls.

    def _give_up_waiting(self) -> None:
        self.connection.goaway(ErrorCode.ENHANCE_YOUR_CALM if self._greeted else ErrorCode.SETTINGS_TIMEOUT)
        self._bell.ring()
        what = "complete a header block" if self._greeted else "begin to speak HTTP/2"
        self.stop(f"the other side did not {what} within {self.limits.handshake_timeout:g} s")

    def _start_tasks(self, tasks: Nursery) -> None:
        """Start the tasks that run beside the reader, until the connection ends."""
        if self._keepalive is not None:
            tasks.start_soon(self._keep_alive, self._keepalive)

    def stop(self, reason: str, linger: float = LINGER) -> None:
        """End the connection after sending what is queued; open calls end. Only the first reason counts.

        Args:
            reason: A readable reason.
            linger: Seconds that sending may take; infinity means as long as the peer makes progress.
        """
        if not self.ending:
            self.ending = reason
            self._linger = linger
            self._reading.cancel()

    # Output

    def flush_soon(self) -> None:
        """Send the output now, or leave it to the writer together with what other tasks add before it runs."""
        if self._flush_at_once and not self._unsent:
            self._flush_at_once = False
            self._flush()
        else:
            self._bell.ring()

    def do_after_turn(self, act: Callable[[], None]) -> None:
        """Call the function after the tasks that are ready now have run and the writer has sent their output."""
        self._due.append(act)
        self._bell.ring()

    def _flush(self) -> None:
        """Offer all output to the kernel; the writer sends what it does not take."""
        connection, link = self.connection, self._link
        while data := connection.take_output():
            taken = link.send_now(data)
            if taken < len(data):
                self._unsent = data[taken:]
                self._bell.ring()
                break
            if len(data) < self.limits.max_output:
                break  # It was all.
        self._wake_senders()

    def _wake_senders(self) -> None:
        """Wake the senders whose buffers have room again, or whose calls are over."""
        for call in self.connection.take_writable():
            call.note_room()

    def _run_due(self) -> None:
        """Call the functions that are due. Not in `_write`: its frame would keep the last one, and its call, alive."""
        due, self._due = self._due, []
        for act in due:
            act()

    async def _write(self) -> None:
        try:
            while await self._bell.answer():
                while self._unsent:
                    await self._link.send(self._unsent)
                    self._unsent = b""
                    self._flush()
                self._flush()
                self._flush_at_once = True
                if self._due:
                    self._run_due()
        except LinkLostError as error:
            self.stop(str(error))

    # Input

    async def _read(self) -> None:
        connection, link = self.connection, self._link
        while not self.ending:
            try:
                data = await link.receive()
            except LinkLostError as error:
                self.stop(str(error))
                return
            if not data:
                self.stop("the other side closed the connection")
                return
            self._handle_bytes(data)
            del data  # Otherwise it would be kept while the peer is silent.
            if connection.mid_headers or self._reading.deadline != math.inf:
                self._watch_progress()
            self._flush_at_once = True
            if not connection.has_output:
                self._wake_senders()
            elif self._unsent:
                self._bell.ring()
            else:
                self._flush()

    def _handle_bytes(self, data: bytes) -> None:
        """Handle received bytes. A separate method, so that its frame keeps no event alive afterwards."""
        reactions = self._reactions
        self.last_received = self.backend.now()
        for event in self.connection.receive(data, self.last_received):
            reactions[type(event)](event)

    def _watch_progress(self) -> None:
        """Set the deadline while the peer owes us its SETTINGS or the rest of a header block; else remove it."""
        if self._greeted and not self.connection.mid_headers:
            self._reading.deadline = math.inf
        elif self._reading.deadline == math.inf:
            self._reading.deadline = anyio.current_time() + self.limits.handshake_timeout

    def _on_settings(self, event: SettingsReceived) -> None:  # noqa: ARG002 - like its siblings
        self._greeted = True

    def _on_pong(self, event: PingAcknowledged) -> None:
        if (answered := self._pongs.get(event.data)) is not None:
            answered.set()

    def _on_failure(self, event: ConnectionFailed) -> None:
        self.stop(event.reason if event.foreign else f"the {self._peer_role} violated HTTP/2: {event.reason}")

    async def _keep_alive(self, keepalive: Keepalive) -> None:
        while True:
            silent = anyio.current_time() - self.last_received
            if silent < keepalive.time:
                await anyio.sleep(keepalive.time - silent)
                continue
            if not await self._ping(PING_DATA, keepalive.timeout):
                await until_read()
                if anyio.current_time() - self.last_received >= keepalive.timeout:
                    self.stop(f"the other side did not answer a keepalive PING within {keepalive.timeout:g} s")
                    return

    # For the roles

    async def _ping(self, data: bytes, timeout: float) -> bool:
        """Send a PING with eight bytes of data; returns whether it is answered within so many seconds."""
        answered = self._pongs[data] = self.backend.signal()
        self.connection.ping(data)
        self.flush_soon()
        with anyio.move_on_after(timeout) as waiting:
            await answered.wait()
        return not waiting.cancelled_caught

    @abstractmethod
    def release(self, call: Call) -> None:
        """Note that the call is over."""

    @abstractmethod
    def _end_calls(self) -> None:
        """End every open call: the connection is gone."""
