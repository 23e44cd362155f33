"""One connection: a reader, a writer, and what they do to its calls.

The reader takes bytes from the link, has `echo.wire` make events of them and hands each to its call; it never waits
for a call.

Whoever has produced output sends it: the first to do so after a turn of the reader's or the writer's offers it to the
kernel at once, which mostly takes all, so that an answer to a message leaves in the very turn that made it. What others
add in that turn is the writer's, which runs when they have: so a burst leaves in one piece. The writer is also the only
one to wait, when the kernel is full; until it is through, nobody else sends. It is never cancelled while bytes are on
their way, or the peer's HPACK table and ours would part.

When a connection ends, the writer is asked to finish. A connection that ends in good order stays until the peer has had
everything, in whatever time it takes, as long as it takes something; who ended it bounds that. One that failed is given
a moment.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import anyio
from anyio.abc import ByteStream, TaskGroup

from echo.transport.backend import current_backend
from echo.transport.call import Call
from echo.transport.keepalive import PING_DATA, Keepalive
from echo.transport.link import LINGER, LinkLostError, link_over
from echo.transport.peer import Peer
from echo.transport.tally import Tally
from echo.transport.waiting import Doorbell
from echo.wire import Connection, ConnectionFailed, ErrorCode, Limits, PingAcknowledged, SettingsReceived


class Session(ABC):
    """What both roles share. `run` owns the stream and closes it.

    Attributes:
        limits: What the connection may occupy.
        max_unsent: What one call may have waiting to be sent before its sender waits.
        peer: Who is at the other end.
        backend: What runs it.
        ending: Why the connection ended, for people; empty while it lives.
        stream: What it goes by. Its attributes may be asked for, and nothing else.
        opened: When it began, on the event loop's clock.
        tally: Where it is counted, with others like it.
    """

    connection: Connection[Any]

    def __init__(
        self, stream: ByteStream, limits: Limits, keepalive: Keepalive | None, tally: Tally | None = None
    ) -> None:
        self.tally = Tally() if tally is None else tally
        self.limits = limits
        self.max_unsent = limits.max_unsent  # Looked at for every message.
        self.stream = stream
        self.peer = Peer(stream)
        self.backend = current_backend()
        self.ending = ""
        self._link = link_over(stream, limits.write_timeout)
        self._keepalive = keepalive
        self._bell = Doorbell(self.backend.signal())
        self._unsent = b""  # What the kernel has not taken, for the writer.
        self._due: list[Callable[[], None]] = []  # What the writer does first when it has its turn.
        self._after_turn: Callable[[], None] | None = None  # Called by the writer when it has had its turn.
        self._fresh = True  # Nobody has sent anything since the reader or the writer had its turn.
        self._pong = self.backend.signal()
        self.opened = self._last_received = anyio.current_time()
        # Cancelled when the connection is to end. Its deadline is what the peer has to complete: first its SETTINGS,
        # later a header block.
        self._reading = anyio.CancelScope(deadline=self._last_received + limits.handshake_timeout)
        self._greeted = False
        self._linger = LINGER
        self._tasks: TaskGroup | None = None  # What runs beside the reader, while it does.
        self._reactions: dict[type, Callable[[Any], None]] = {
            SettingsReceived: self._on_settings,
            PingAcknowledged: self._on_pong,
            ConnectionFailed: self._on_failure,
        }

    async def run(self) -> None:
        """Serve the connection until it ends, from either side, and close the stream.

        Ends normally however the connection ends; open calls are told. Cancelling it closes the connection at once.
        """
        self.tally.connections += 1
        try:
            async with self._link:
                async with anyio.create_task_group() as io:
                    self._bell.ring()  # For what opens the connection.
                    io.start_soon(self._write)
                    try:
                        await self._exchange()
                    finally:
                        self._bell.close()
                    io.cancel_scope.deadline = anyio.current_time() + self._linger
                if self._linger > LINGER:
                    await self._link.linger()
        finally:
            self.tally.ended += 1

    async def _exchange(self) -> None:
        """Read until the connection ends, then end its calls."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                try:
                    self._start_tasks(tasks)
                    with self._reading:
                        await self._read()
                    if self._reading.cancelled_caught and not self.ending:
                        self._give_up_waiting()
                    tasks.cancel_scope.cancel()
                finally:
                    self._tasks = None
        finally:
            self.stop("the connection was closed")
            self._end_calls()

    def _give_up_waiting(self) -> None:
        self.connection.goaway(ErrorCode.ENHANCE_YOUR_CALM if self._greeted else ErrorCode.SETTINGS_TIMEOUT)
        self._bell.ring()
        what = "complete a header block" if self._greeted else "begin to speak HTTP/2"
        self.stop(f"the other side did not {what} within {self.limits.handshake_timeout:g} s")

    def _start_tasks(self, tasks: TaskGroup) -> None:
        """Start what runs beside the reader, until the connection ends."""
        if self._keepalive is not None:
            tasks.start_soon(self._keep_alive, self._keepalive)

    def stop(self, reason: str, linger: float = LINGER) -> None:
        """End the connection: what is queued is still sent, open calls end. Only the first reason counts.

        Args:
            reason: Why, for people.
            linger: Seconds that sending may take; infinity for as long as the peer takes something.
        """
        if not self.ending:
            self.ending = reason
            self._linger = linger
            self._reading.cancel()

    # Output

    def flush_soon(self) -> None:
        """There is something to send: send it now, or leave it to the writer with what others add in this turn."""
        if self._fresh and not self._unsent:
            self._fresh = False
            self._flush()
        else:
            self._bell.ring()

    @property
    def turn_is_due(self) -> bool:
        """Whether the writer has its turn before the event loop waits again."""
        return self._bell.rung and not self._unsent

    @property
    def last_received(self) -> float:
        """When the peer's last bytes came, on the event loop's clock."""
        return self._last_received

    def do_at_turn(self, act: Callable[[], None]) -> None:
        """Have something done as the writer has its turn: once the tasks that run now have come to wait."""
        self._due.append(act)
        self._bell.ring()

    def _flush(self) -> None:
        """Offer the kernel all there is; what it does not take is for the writer."""
        connection, link = self.connection, self._link
        while data := connection.take_output():
            taken = link.send_now(data)
            if taken < len(data):
                self._unsent = data[taken:]
                self._bell.ring()
                break
        self._relieve()

    def _relieve(self) -> None:
        """Tell the calls whose buffers have room again, or that are over."""
        for call in self.connection.take_writable():
            call.note_room()

    def _act(self) -> None:
        """Do what is due. Not in `_write`, whose frame would keep the last of it, with its call, until the next."""
        due, self._due = self._due, []
        for act in due:
            act()

    async def _write(self) -> None:
        try:
            while await self._bell.answer():
                if self._due:
                    self._act()
                while self._unsent:
                    await self._link.send(self._unsent)
                    self._unsent = b""
                    self._flush()
                self._flush()
                self._fresh = True
                if self._after_turn is not None:
                    self._after_turn()
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
            self._take_in(data)
            del data  # Not to be kept while the peer is silent.
            if connection.mid_headers or self._reading.deadline != math.inf:
                self._watch_progress()
            self._fresh = True
            if not connection.has_output:
                self._relieve()
            elif self._unsent:
                self._bell.ring()
            else:
                self._flush()

    def _take_in(self, data: bytes) -> None:
        """React to what came; by itself, so that no event outlives it here."""
        reactions = self._reactions
        self._last_received = self.backend.now()
        for event in self.connection.receive(data, self._last_received):
            reactions[type(event)](event)

    def _watch_progress(self) -> None:
        """Give the peer a deadline while it owes us its SETTINGS or the rest of a header block, and none otherwise."""
        if self._greeted and not self.connection.mid_headers:
            self._reading.deadline = math.inf
        elif self._reading.deadline == math.inf:
            self._reading.deadline = anyio.current_time() + self.limits.handshake_timeout

    def _on_settings(self, event: SettingsReceived) -> None:  # noqa: ARG002 - like its siblings
        self._greeted = True

    def _on_pong(self, event: PingAcknowledged) -> None:
        if event.data == PING_DATA:
            self._pong.set()

    def _on_failure(self, event: ConnectionFailed) -> None:
        self.stop(event.reason if event.foreign else f"the other side violated HTTP/2: {event.reason}")

    async def _keep_alive(self, keepalive: Keepalive) -> None:
        while True:
            silent = anyio.current_time() - self._last_received
            if silent < keepalive.time:
                await anyio.sleep(keepalive.time - silent)
                continue
            self.connection.ping(PING_DATA)
            self.flush_soon()
            with anyio.move_on_after(keepalive.timeout) as waiting:
                await self._pong.wait()
            if waiting.cancelled_caught and anyio.current_time() - self._last_received >= keepalive.timeout:
                self.stop(f"the other side did not answer a keepalive PING within {keepalive.timeout:g} s")
                return

    # For the roles

    @abstractmethod
    def release(self, call: Call) -> None:
        """The call is over."""

    @abstractmethod
    def _end_calls(self) -> None:
        """Tell every call that the connection is gone."""
