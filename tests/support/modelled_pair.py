"""A client and a server of `echo.wire`, the line between them, and a model of what each side has sent and received.

The model's handling of events, and of output, checks what must hold at every step.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any, Final

from h2.errors import ErrorCodes

from echo.wire.events import GoAwayReceived, PingAcknowledged, SettingsReceived
from echo.wire.head import Response, Trailers
from echo.wire.limits import Limits
from tests.support.pair import (
    CallEnded,
    ConnectionPair,
    DataReceived,
    Event,
    HalfClosed,
    Numbered,
    RequestStarted,
    ResponseStarted,
    StreamReset,
)

FRAME: Final = 9 + 16_384  # The largest one that is sent.
CONTROL: Final = 400  # More bytes than one user action or one event sends besides messages.


class Flow:
    """One direction of one call, in the model.

    Attributes:
        sent: Bytes given to the sending side.
        received: Bytes that have arrived.
        acknowledged: How many of those the receiving application has taken.
        closed: Whether the sending side has ended.
        blocked: Whether the sender waits for room in its buffer.
    """

    def __init__(self, seed: int) -> None:
        self.sent = bytearray()
        self.received = bytearray()
        self.acknowledged = 0
        self.closed = False
        self.blocked = False
        self._seed = seed

    def next_message(self, size: int) -> bytes:
        """Bytes that are found nowhere else."""
        start = len(self.sent)
        words = b"".join(b"%d.%d " % (self._seed, number) for number in range(start // 4, (start + size) // 4 + 2))
        message = words[:size]
        self.sent += message
        return message

    def receive(self, data: bytes, window: int) -> None:
        start = len(self.received)
        assert data == self.sent[start : start + len(data)], "other bytes came than were sent"
        self.received += data
        assert len(self.received) - self.acknowledged <= window, "more came than the window allows"


class End:
    """One side of one call.

    Attributes:
        known: Whether the side knows of the call.
        over: Whether the call has ended here, so that no more events may report on it.
        ending: Whether the end was requested and waits behind messages (server).
        headed: Whether the response's head was sent or received.
        peer_closed: Whether the client's half-close was reported (server).
    """

    def __init__(self) -> None:
        self.known = self.over = self.ending = self.headed = self.peer_closed = False

    @property
    def live(self) -> bool:
        return self.known and not self.over


class Call:
    """A call and both its ends."""

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.client, self.server = End(), End()
        self.up, self.down = Flow(stream_id), Flow(stream_id + 1)
        self.verdict: Trailers | None = None  # The status with which the server last ended the call.
        self.aborted = False


class ModelledPair:
    """Both connections, and the model of their calls."""

    def start(self, limits: Limits) -> None:
        """Connect them."""
        self.limits = limits
        pair = ConnectionPair(self.limits)
        self.client, self.server = pair.client, pair.server
        self.line = {True: bytearray(), False: bytearray()}  # On their way: to the server, to the client.
        self.acts = {True: 0, False: 0}  # Of each side since its output was last taken.
        self.pings: dict[bool, list[bytes]] = {True: [], False: []}
        self.calls: dict[int, Call] = {}

    def take(self, to_server: bool) -> None:
        """Take the output of one side onto the line."""
        sender = self._side(to_server)
        data = sender.take_output()
        assert len(data) <= self.limits.max_output + FRAME + self.acts[to_server] * CONTROL
        self.acts[to_server] = 0
        self.line[to_server] += data
        self._relieve(to_server)

    def carry(self, to_server: bool, size: int) -> None:
        """Have the other side receive what has been on the line longest."""
        line = self.line[to_server]
        data = bytes(line[:size])
        del line[:size]
        for event in self._side(not to_server).receive(data):
            self.acts[not to_server] += 1
            (self._on_server_event if to_server else self._on_client_event)(event)
        self.acts[not to_server] += len(data) // 9  # Answers that were made without an event.
        self._relieve(not to_server)

    def _side(self, client: bool) -> Numbered[Any]:
        return self.client if client else self.server

    def _pick(self, pick: int, wanted: Callable[[Call], bool]) -> list[Call]:
        """One of the calls that satisfy the condition, if any."""
        found = [call for call in self.calls.values() if wanted(call)]
        return [found[pick % len(found)]] if found else []

    def _send(self, side: Numbered[Any], stream_id: int, flow: Flow, size: int) -> None:
        if side.unsent(stream_id) > self.limits.max_unsent:
            flow.blocked = True  # A waiting sender sends nothing.
        else:
            side.send_message(stream_id, flow.next_message(size))
            self.acts[side is self.client] += 1

    def _respond(self, call: Call) -> None:
        self.server.send_response(call.id, Response())
        call.server.headed = True
        self.acts[False] += 1

    def _finish(self, call: Call, verdict: Trailers) -> None:
        call.verdict = verdict
        call.down.closed = True
        call.server.over = self.server.send_trailers(call.id, verdict)
        call.server.ending = not call.server.over
        self.acts[False] += 1

    def _acknowledge(self, call: Call, size: int, *, upwards: bool) -> None:
        flow = call.up if upwards else call.down
        flow.acknowledged += size
        self._side(not upwards).acknowledge(call.id, size)
        self.acts[not upwards] += 1

    def _relieve(self, by_client: bool) -> None:
        """Wake the senders whose buffers were reported to have room; none may keep waiting although it has room."""
        side = self._side(by_client)
        writable = set(side.take_writable())
        for call in self.calls.values():
            end, flow = (call.client, call.up) if by_client else (call.server, call.down)
            if end.ending and not side.is_open(call.id):
                assert call.id in writable, "nobody was told that the trailers are sent"
                end.ending, end.over = False, True
            if call.id in writable:
                flow.blocked = False
            assert not flow.blocked or (side.is_open(call.id) and side.unsent(call.id) > self.limits.max_unsent)

    def _exchange(self) -> None:
        """Carry everything both ways and receive it, until nothing moves any more."""
        moved = True
        while moved:
            moved = False
            for to_server in (True, False):
                self.take(to_server)
                if self.line[to_server]:
                    moved = True
                    self.carry(to_server, len(self.line[to_server]))
            for call, upwards in chain.from_iterable(((call, True), (call, False)) for call in self.calls.values()):
                flow = call.up if upwards else call.down
                if len(flow.received) > flow.acknowledged:
                    self._acknowledge(call, len(flow.received) - flow.acknowledged, upwards=upwards)

    def _on_server_event(self, event: Event) -> None:
        match event:
            case RequestStarted(stream_id):
                end = self.calls[stream_id].server
                assert not end.known
                end.known = True
            case DataReceived(stream_id, data):
                assert self.calls[stream_id].server.live
                assert not self.calls[stream_id].server.peer_closed
                self.calls[stream_id].up.receive(data, self.limits.stream_window)
            case HalfClosed(stream_id):
                call = self.calls[stream_id]
                assert call.server.live
                assert not call.server.peer_closed
                assert call.up.closed
                assert call.up.received == call.up.sent
                call.server.peer_closed = True
            case StreamReset(stream_id, error_code):
                call = self.calls[stream_id]
                assert call.server.live
                assert call.client.over
                assert error_code == ErrorCodes.CANCEL
                call.server.over, call.server.ending = True, False
            case _:
                self._on_connection_event(event, at_client=False)

    def _on_client_event(self, event: Event) -> None:
        match event:
            case ResponseStarted(stream_id):
                end = self.calls[stream_id].client
                assert end.live
                assert not end.headed
                end.headed = True
            case DataReceived(stream_id, data):
                assert self.calls[stream_id].client.live
                assert self.calls[stream_id].client.headed
                self.calls[stream_id].down.receive(data, self.limits.stream_window)
            case CallEnded(stream_id, trailers):
                call = self.calls[stream_id]
                assert call.client.live
                assert call.verdict is not None
                assert (trailers.status, trailers.message) == (call.verdict.status, call.verdict.message)
                assert call.aborted or call.down.received == call.down.sent
                call.client.over = True
            case StreamReset(stream_id, error_code):
                call = self.calls[stream_id]
                assert call.client.live
                assert call.server.over
                assert error_code == ErrorCodes.REFUSED_STREAM
                call.client.over = True
            case _:
                self._on_connection_event(event, at_client=True)

    def _on_connection_event(self, event: Event, *, at_client: bool) -> None:
        match event:
            case PingAcknowledged(data):
                assert data == self.pings[at_client].pop(0)
            case GoAwayReceived(_, error_code, debug):
                assert (error_code, debug) == (ErrorCodes.NO_ERROR, b"soon")
            case SettingsReceived():
                pass
            case _:
                raise AssertionError(f"{event} came of nothing that a user did")
