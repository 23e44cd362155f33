"""The client's end of a connection. Calls wait for a stream where the server limits them, first come, first served."""

import math
from collections import deque
from functools import partial

import anyio
from anyio.abc import ByteStream

from echo.transport.backend import Nursery
from echo.transport.call import Call
from echo.transport.client_call import MAX_KEPT, ClientCall
from echo.transport.deadlines import Deadlines
from echo.transport.keepalive import Keepalive
from echo.transport.session import Session
from echo.transport.tally import Tally
from echo.wire import (
    IDENTITY,
    CallEnded,
    ClientConnection,
    DataReceived,
    GoAwayReceived,
    GRPCError,
    Limits,
    LocalProtocolError,
    Request,
    ResponseStarted,
    SettingsReceived,
    Status,
    Trailers,
    describe_goaway,
)


class ClientSession(Session):
    """A connection to a server.

    Attributes:
        ready: Set when the server's SETTINGS have arrived, or the connection has ended.
        retiring: Whether the connection takes no new calls, by the server's wish or ours; open calls continue.
        retired: Set when it takes no new calls, or has ended.
        drained: Whether the server sent GOAWAY NO_ERROR: it takes no more calls on this connection.
        pinged_too_often: Whether the server sent GOAWAY ``too_many_pings``.
        max_kept: How many bytes of messages a call keeps in case that it must be sent again. Not more than can be sent
            without waiting.
    """

    connection: ClientConnection[ClientCall]

    _peer_role = "server"

    def __init__(
        self, stream: ByteStream, limits: Limits, keepalive: Keepalive | None, tally: Tally | None = None
    ) -> None:
        super().__init__(stream, limits, keepalive, tally)
        self.connection = ClientConnection(limits, partial(ClientCall, self))
        self.connection.start()
        self.ready: anyio.Event = anyio.Event()
        self.retiring: bool = False
        self.retired: anyio.Event = anyio.Event()
        self.drained: bool = False
        self.pinged_too_often: bool = False
        self.max_kept: int = min(MAX_KEPT, limits.max_unsent)
        self._goaway_reason = ""  # The server's GOAWAY as text, if it had an error code.
        self._deadlines = Deadlines(self.connection.streams)
        self.backend.defer_interrupts(self._deadlines.run)
        self._queue: deque[anyio.Event] = deque()  # Calls that wait for a stream, oldest first.
        self._granted = 0  # Streams reserved for queued calls whose tasks have not run yet.
        self._reactions |= {
            ResponseStarted: self._on_response,
            DataReceived: self._on_data,
            CallEnded: self._on_call_ended,
            GoAwayReceived: self._on_goaway,
        }

    @property
    def usable(self) -> bool:
        """Whether new calls may be opened here."""
        return not self.retiring and not self.ending

    @property
    def calls(self) -> int:
        """How many calls are open."""
        return len(self.connection.streams)

    async def open(self, request: Request, deadline: float) -> ClientCall | None:
        """Open a call, waiting until the server's limit of concurrent streams allows one more.

        Its head leaves with what is sent next; `flush_soon` sends it by itself.

        Args:
            request: Its head, but for the timeout.
            deadline: On the event loop's clock, for the whole call; infinity for none. The request's timeout is what is
                left until then.

        Returns:
            The call; None when the connection takes no more calls: use another one.

        Raises:
            GRPCError: DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED if the server does not take so much metadata.
            ValueError, TypeError: The metadata cannot be sent.
        """
        if self.usable and self._full():
            await self._wait_for_stream(deadline)
        return self._open(request, deadline) if self.usable else None

    def open_now(self, request: Request, deadline: float) -> ClientCall | None:
        """Open a call, as `open`, if that takes no waiting; else None."""
        return None if self.retiring or self.ending or self._full() else self._open(request, deadline)

    def _open(self, request: Request, deadline: float) -> ClientCall | None:
        left = None
        if deadline != math.inf:
            left = deadline - self.backend.now()
            if left <= 0.0:  # Otherwise the reply might still win against the timer.
                raise GRPCError(Status.DEADLINE_EXCEEDED, "the deadline passed")
        try:
            call = self.connection.open(request, left)
        except LocalProtocolError:  # Out of stream ids.
            self.retire()
            return None
        call.request = request
        if request.encoding != IDENTITY:
            call.compress(request.encoding)
        if left is not None:
            call.deadline = deadline
            self._deadlines.add(call)
        return call

    def retire(self) -> None:
        """Take no new calls, and end after the last one. Never waits."""
        self.retiring = True
        self._release_queue()
        self._end_if_done()

    def release(self, call: Call) -> None:  # noqa: ARG002, D102 - as in Session
        if self._queue:
            self._grant_streams()
        if self.retiring:
            self._end_if_done()

    def _start_tasks(self, tasks: Nursery) -> None:
        super()._start_tasks(tasks)
        tasks.start_soon(self._deadlines.run)

    def _end_if_done(self) -> None:
        if self.retiring and not self.calls:
            self.stop("the connection was retired")

    def _release_queue(self) -> None:
        """Send the calls that wait for a stream to another connection."""
        self.retired.set()
        self._grant_streams()

    def _full(self) -> bool:
        """Whether a new call would have to wait for a stream."""
        return len(self.connection.streams) + self._granted >= self.connection.max_streams

    def _grant_streams(self) -> None:
        """Reserve free streams for the calls that have waited longest; all may go when no more can be opened here."""
        while self._queue and not (self.usable and self._full()):
            self._granted += 1
            self._queue.popleft().set()

    async def _wait_for_stream(self, deadline: float) -> None:
        turn = anyio.Event()
        self._queue.append(turn)
        try:
            with anyio.CancelScope(deadline=deadline):
                await turn.wait()
                self._granted -= 1  # The caller takes the stream at once.
                return
            raise GRPCError(Status.DEADLINE_EXCEEDED, "the deadline passed")
        except BaseException:
            if turn.is_set():
                self._granted -= 1
                self._grant_streams()
            else:
                self._queue.remove(turn)
            raise

    def _end_calls(self) -> None:
        self.ready.set()
        self._release_queue()
        trailers = Trailers(Status.UNAVAILABLE, f"connection to {self.peer}: {self._goaway_reason or self.ending}")
        for call in list(self.connection.streams.values()):
            call.conclude(trailers)

    # Events

    def _on_response(self, event: ResponseStarted[ClientCall]) -> None:
        event.stream.start_response(event.response)

    def _on_data(self, event: DataReceived[ClientCall]) -> None:
        for call in event.streams:
            call.note_data()

    def _on_call_ended(self, event: CallEnded[ClientCall]) -> None:
        event.stream.concluded = self.last_received
        event.stream.conclude(event.trailers, unprocessed=event.unprocessed)
        self.release(event.stream)

    def _on_settings(self, event: SettingsReceived) -> None:
        super()._on_settings(event)
        self.ready.set()
        self._grant_streams()

    def _on_goaway(self, event: GoAwayReceived) -> None:
        self.drained = not event.error_code
        self.pinged_too_often = event.debug_data == b"too_many_pings"
        if not self.retiring:
            self.tally.drained += 1
        if event.error_code:
            self._goaway_reason = describe_goaway(event)
        self.retire()
