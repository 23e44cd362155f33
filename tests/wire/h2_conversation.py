"""A conversation between one of our roles and h2, a third-party implementation, which `act` steers step by step."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived as H2Data
from h2.events import Event as H2Event
from h2.events import RequestReceived, ResponseReceived, SettingsAcknowledged, StreamEnded, TrailersReceived
from h2.events import StreamReset as H2Reset
from h2.settings import SettingCodes

from echo.wire.client import ClientConnection
from echo.wire.events import (
    CallEnded,
    ConnectionFailed,
    Event,
    HalfClosed,
    PingAcknowledged,
    RequestStarted,
    StreamReset,
)
from echo.wire.frames import ErrorCode
from echo.wire.head import Request, Response, Trailers
from echo.wire.limits import Limits
from echo.wire.message import encode_message
from echo.wire.server import ServerConnection
from echo.wire.state import CLOSED
from echo.wire.status import Status
from echo.wire.stream import Stream

LIMITS = Limits(stream_window=30_000, max_output=20_000, min_ping_interval=0, flood_burst=10_000)
MAX_CALLS = 6
REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/s/m"), (":authority", "x"), ("te", "trailers")]
GRPC = ("content-type", "application/grpc")
DONE = ("grpc-status", "10")


class Call:
    """A call, as both users know it.

    Attributes:
        stream: Our stream, once we know of the call.
        sent, received: Messages that our side has sent and received.
        ended: The last event on our side: how the call ended, or that the client half-closed.
        over: Whether our side will report nothing more.
        h2_sent, h2_received: Bytes of messages that h2's side has sent and received.
        h2_waiting: Bytes that h2's windows hold back.
        h2_ends, h2_ended, h2_over: Whether h2's user is done; all was sent; the stream is closed.
        h2_fields: The last header list that h2 received.
        h2_heard_end: Whether h2 received END_STREAM.
        broken: Whether either user has reset it.
    """

    def __init__(self, stream: Stream | None = None) -> None:
        self.stream = stream
        self.sent: list[bytes] = []
        self.received: list[bytes] = []
        self.ended: Event[Stream] | None = None
        self.done = self.over = False
        self.h2_sent: list[bytes] = []
        self.h2_received = bytearray()
        self.h2_waiting = bytearray()
        self.h2_headed = self.h2_ends = self.h2_ended = self.h2_over = self.h2_heard_end = False
        self.h2_fields: dict[str, str] = {}
        self.broken = False


class Conversation:
    """One of our connections and one of h2's, connected to each other."""

    def __init__(self, *, client: bool) -> None:
        self.client = client
        self.ours: ClientConnection[Stream] | ServerConnection[Stream]
        self.ours = ClientConnection(LIMITS, Stream) if client else ServerConnection(LIMITS, Stream)
        self.h2 = H2Connection(H2Configuration(client_side=not client, header_encoding="utf-8"))
        if client:
            self.ours.start()
        self.h2.local_settings.initial_window_size = 10_000
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.to_h2, self.to_us = bytearray(), bytearray()
        self.calls: dict[int, Call] = {}
        self.pings = 0
        self.h2_settings = 1
        self.settle()

    def act(self, what: str, number: int) -> None:
        calls = list(self.calls.items())
        stream_id, call = calls[number % len(calls)] if calls else (0, Call())
        live = call.stream is not None and call.stream.state != CLOSED and not call.over
        h2_live = stream_id in self.h2_known and not call.h2_over and not (call.h2_ended and call.h2_heard_end)
        match what:
            case "open" if sum(not call.over for call in self.calls.values()) < MAX_CALLS:
                self.open()
            case "send" if live and not call.done:
                self.send(call, b"%d" % number * (number * 40))
            case "end" if live and not call.done:
                self.end(call)
            case "reset" if live:
                assert call.stream is not None
                self.ours.reset(call.stream, ErrorCode.CANCEL)
                call.over = call.broken = True
            case "take" if call.stream is not None:
                self.take(call)
            case "ping":
                self.ours.ping(b"%8d" % number)
                self.h2.ping(b"%8d" % number)
                self.pings += 1
            case "h2 send" if h2_live and not call.h2_ends:
                message = b"%d" % number * (number * 40)
                call.h2_sent.append(message)
                call.h2_waiting += encode_message(message)
            case "h2 end" if h2_live:
                call.h2_ends = True
            case "h2 reset" if h2_live:
                self.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
                call.h2_over = call.broken = True
            case "h2 settings" if self.h2_settings == 0:
                # One at a time: h2 takes any acknowledgement to cover all settings that it has announced.
                self.h2_settings += 1
                # Never a smaller window, which may be below zero then: h2 then fails on an empty DATA frame.
                window = self.h2.local_settings.initial_window_size + 100 * number
                table = (0, 60, 4_096, 2**16)[number % 4]
                changes: dict[SettingCodes | int, int] = {SettingCodes.INITIAL_WINDOW_SIZE: window}
                if number % 8 < 4:
                    changes = {SettingCodes.HEADER_TABLE_SIZE: table}
                self.h2.update_settings(changes)
            case "carry":
                self.carry(number**2, number**2)

    @property
    def h2_known(self) -> set[int]:
        return {stream_id for stream_id, call in self.calls.items() if not self.client or call.h2_fields}

    def open(self) -> None:
        if isinstance(self.ours, ClientConnection):
            stream = self.ours.open(Request("/s/m"))
            self.calls[stream.id] = Call(stream)
        else:
            stream_id = self.h2.get_next_available_stream_id()
            self.h2.send_headers(stream_id, [*REQUEST, GRPC])
            self.calls[stream_id] = Call()

    def send(self, call: Call, message: bytes) -> None:
        assert call.stream is not None
        if isinstance(self.ours, ServerConnection) and not call.stream.head_sent:
            self.ours.send_response(call.stream, Response())
        self.ours.send_message(call.stream, encode_message(message))
        call.sent.append(message)

    def end(self, call: Call) -> None:
        assert call.stream is not None
        call.done = True
        if isinstance(self.ours, ServerConnection):
            self.ours.send_trailers(call.stream, Trailers(Status.ABORTED, "done ✓"))
        else:
            self.ours.half_close(call.stream)

    def take(self, call: Call) -> None:
        assert call.stream is not None
        while (message := self.ours.next_message(call.stream)) is not None:
            call.received.append(message)

    def pump(self) -> None:
        """Let h2 send what its windows let through."""
        for stream_id in self.h2_known:
            call = self.calls[stream_id]
            if call.h2_over or call.h2_ended:
                continue
            if self.client and not call.h2_headed and call.h2_waiting:
                self.h2.send_headers(stream_id, [(":status", "200"), GRPC])
                call.h2_headed = True
            while call.h2_waiting:
                room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
                if room <= 3:
                    break
                piece = bytes(call.h2_waiting[: room - 3])
                self.h2.send_data(stream_id, piece, pad_length=2 if stream_id % 4 == 1 else None)
                del call.h2_waiting[: len(piece)]
            if call.h2_ends and not call.h2_waiting:
                call.h2_ended = True
                if not self.client:
                    self.h2.end_stream(stream_id)
                else:
                    head = [] if call.h2_headed else [(":status", "200"), GRPC]
                    self.h2.send_headers(stream_id, [*head, DONE], end_stream=True)

    def carry(self, up: int, down: int) -> bool:
        """Move up to this many bytes each way; returns whether there were any."""
        self.pump()
        self.to_h2 += self.ours.take_output()
        self.ours.take_writable()
        self.to_us += self.h2.data_to_send()
        ours, theirs = bytes(self.to_h2[:up]), bytes(self.to_us[:down])
        del self.to_h2[:up], self.to_us[:down]
        for event in self.h2.receive_data(ours) if ours else ():
            self.note_h2(event)
        for told in self.ours.receive(theirs):
            self.note(told)
        return bool(ours or theirs)

    def settle(self) -> None:
        moved = True
        while moved or self.ours.has_output:
            moved = self.carry(2**30, 2**30)
            for call in self.calls.values():
                if call.stream is not None:
                    self.take(call)

    def note(self, event: Event[Stream]) -> None:
        assert not isinstance(event, ConnectionFailed)
        if isinstance(event, PingAcknowledged):
            self.pings -= 1
        elif isinstance(event, RequestStarted):
            assert self.calls[event.stream.id].stream is None
            self.calls[event.stream.id].stream = event.stream
        elif isinstance(event, CallEnded | StreamReset | HalfClosed):
            call = self.calls[event.stream.id]
            assert not call.over
            call.ended = event
            call.over = not isinstance(event, HalfClosed)

    def note_h2(self, event: H2Event) -> None:
        match event:
            case RequestReceived() | ResponseReceived() | TrailersReceived():
                assert event.stream_id is not None
                fields = {str(name): str(value) for name, value in event.headers or ()}
                self.calls[event.stream_id].h2_fields |= fields
            case H2Data():
                self.calls[event.stream_id].h2_received += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self.calls[event.stream_id].h2_heard_end = True
            case SettingsAcknowledged():
                self.h2_settings -= 1
            case H2Reset():
                self.calls[event.stream_id].h2_over = True

    def finish(self) -> None:
        """End all calls that are not over, as their users would, and see how they ended."""
        self.settle()
        for call in self.calls.values():
            call.h2_ends |= not self.client  # The client first, so that no call is truncated.
            if self.client and not (call.done or call.over):
                self.end(call)
        self.settle()
        for call in self.calls.values():
            call.h2_ends |= self.client
            if not (self.client or call.done or call.over):
                self.end(call)
        self.settle()
