"""The client's end of a connection: calls are opened as the server's stream limit allows, first come, first served."""

import math
from collections import deque
from dataclasses import replace

import anyio
from anyio.abc import ByteStream
from h2.errors import ErrorCodes

from echo.transport.call import Call
from echo.transport.client_call import ClientCall
from echo.transport.keepalive import Keepalive
from echo.transport.session import Session
from echo.transport.signal import Signal
from echo.wire.client import ClientConnection
from echo.wire.errors import LocalProtocolError
from echo.wire.events import CallEnded, Event, GoAwayReceived, ResponseStarted, SettingsReceived, StreamReset
from echo.wire.head import Request, Trailers
from echo.wire.limits import Limits
from echo.wire.status import GRPCError, Status, status_from_reset


class _Turn(Signal):
    """A place in the queue for a stream."""

    __slots__ = ("granted",)

    def __init__(self) -> None:
        super().__init__()
        self.granted = False  # A stream is kept free for it.


class ClientSession(Session):
    """A connection to a server.

    Attributes:
        ready: Set when the server's SETTINGS have come, or the connection has ended before.
        retiring: The server (or we) want no new calls on this connection; those that run go on.
        retired: Set when that is so, or the connection has ended.
        pinged_too_often: The server ended the connection for that.
    """

    connection: ClientConnection

    def __init__(self, stream: ByteStream, limits: Limits, keepalive: Keepalive | None) -> None:
        super().__init__(stream, limits, keepalive)
        self.connection = ClientConnection(limits)
        self.connection.start()
        self.ready = anyio.Event()
        self.retiring = False
        self.retired = anyio.Event()
        self.pinged_too_often = False
        self._accusation = ""  # What the server ends the connection for, if it is more than a wish to.
        self._table: dict[int, ClientCall] = {}
        self._queue: deque[_Turn] = deque()  # Calls that wait for a stream, oldest first.
        self._handed_on = 0  # Streams given to queued calls whose tasks have not run yet.

    @property
    def usable(self) -> bool:
        """Whether a new call may be tried here."""
        return not self.retiring and not self.ending

    @property
    def calls(self) -> int:
        """Calls that are open."""
        return len(self._table)

    async def open(self, request: Request, deadline: float, *, end: bool = False) -> ClientCall | None:
        """Open a call, waiting until the server's limit of concurrent streams allows one more.

        Args:
            request: Its head, but for the timeout.
            deadline: On the event loop's clock, for every wait of the call; infinity for none. The request's
                timeout is what is left until then.
            end: Whether the head is all there is to send.

        Returns:
            The call; None when the connection takes no more calls: use another one.

        Raises:
            GRPCError: DEADLINE_EXCEEDED while waiting.
            ValueError, TypeError: The metadata cannot be sent.
        """
        if self._full():
            await self._wait_for_stream(deadline)
        if not self.usable:
            return None
        if deadline != math.inf:
            request = replace(request, timeout=max(0.0, deadline - anyio.current_time()))
        try:
            stream_id = self.connection.open(request, end=end)
        except LocalProtocolError:  # Out of stream ids.
            self.retire()
            return None
        self.wake_writer()
        call = self._table[stream_id] = ClientCall(self, stream_id, request.encoding, deadline)
        return call

    def retire(self) -> None:
        """Take no new calls and end once the last has ended. Never waits."""
        self.retiring = True
        self.retired.set()
        while self._queue:
            self._queue.popleft().set()
        if not self._table:
            self.stop("the connection was retired")

    def release(self, call: Call) -> None:  # noqa: D102 - as in Session
        if self._table.pop(call.id, None) is not None:
            self._hand_on()
            if self.retiring and not self._table:
                self.stop("the connection was retired")

    def _full(self) -> bool:
        return self.usable and len(self._table) + self._handed_on >= self.connection.max_streams

    def _hand_on(self) -> None:
        while self._queue and not self._full():
            turn = self._queue.popleft()
            turn.granted = True
            self._handed_on += 1
            turn.set()

    async def _wait_for_stream(self, deadline: float) -> None:
        turn = _Turn()
        self._queue.append(turn)
        try:
            with anyio.CancelScope(deadline=deadline) as scope:
                await turn.wait()
        except BaseException:
            self._leave(turn)
            raise
        if scope.cancelled_caught:
            self._leave(turn)
            raise GRPCError(Status.DEADLINE_EXCEEDED, "the deadline passed")
        if turn.granted:
            self._handed_on -= 1  # The caller takes the stream at once.

    def _leave(self, turn: "_Turn") -> None:
        if turn.granted:
            self._handed_on -= 1
            self._hand_on()
        elif turn in self._queue:
            self._queue.remove(turn)

    def _call(self, stream_id: int) -> Call | None:
        return self._table.get(stream_id)

    def _end_calls(self) -> None:
        self.ready.set()
        self.retired.set()
        while self._queue:
            self._queue.popleft().set()
        self._conclude_above(
            0, Trailers(Status.UNAVAILABLE, f"connection to {self.peer}: {self._accusation or self.ending}")
        )

    def _conclude_above(self, last_stream_id: int, trailers: Trailers, *, unprocessed: bool = False) -> None:
        for call in [call for stream_id, call in self._table.items() if stream_id > last_stream_id]:
            call.conclude(trailers, unprocessed=unprocessed)
            self.release(call)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ResponseStarted):
            self._table[event.stream_id].start_response(event.response)
        elif isinstance(event, CallEnded):
            self._conclude(event.stream_id, event.trailers)
        elif isinstance(event, StreamReset):
            trailers = Trailers(
                status_from_reset(event.error_code), f"the server reset the call (code {event.error_code})"
            )
            # RFC 9113 §8.7: a stream that is refused was not processed in any way.
            self._conclude(event.stream_id, trailers, unprocessed=event.error_code == ErrorCodes.REFUSED_STREAM)
        elif isinstance(event, SettingsReceived):
            self.ready.set()
            self._hand_on()
        elif isinstance(event, GoAwayReceived):
            self.pinged_too_often = event.debug_data == b"too_many_pings"
            if event.error_code:
                self._accusation = _describe(event)
            # RFC 9113 §6.8: nor were those above the last one that is named.
            self._conclude_above(event.last_stream_id, Trailers(Status.UNAVAILABLE, _describe(event)), unprocessed=True)
            self.retire()

    def _conclude(self, stream_id: int, trailers: Trailers, *, unprocessed: bool = False) -> None:
        call = self._table.get(stream_id)
        if call is not None:
            call.conclude(trailers, unprocessed=unprocessed)
            self.release(call)


def _describe(event: GoAwayReceived) -> str:
    debug = event.debug_data[:200].decode("utf-8", "replace")
    return f"the server is going away (code {event.error_code}{', ' + debug if debug else ''})"
