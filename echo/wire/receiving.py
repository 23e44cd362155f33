"""Handles the peer's frames: one method per frame type (RFC 9113 §6).

A method changes the state, adds to the events and to the output, and raises the peer's errors: `PeerStreamError` ends
the stream, `PeerConnectionError` the connection.

Floods consist of frames that cost us work and carry nothing useful (RFC 9113 §10.5): PING, SETTINGS, PRIORITY, unknown
frame types, empty DATA, frames on closed streams, streams reset as soon as they are opened. All of them draw on one
budget; once it is used up, the connection ends with ENHANCE_YOUR_CALM.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Generic

from echo.wire import frames
from echo.wire.budget import Budget
from echo.wire.closed import ClosedStreams
from echo.wire.errors import PeerConnectionError, PeerStreamError
from echo.wire.events import DataReceived, Event, GoAwayReceived, PingAcknowledged, SettingsReceived
from echo.wire.frames import ACK, DEFAULT_WINDOW, END_STREAM, MAX_WINDOW, UINT32, ErrorCode
from echo.wire.header_lists import Field
from echo.wire.hpack import Decoder
from echo.wire.incoming import Incoming, unpadded
from echo.wire.limits import Limits
from echo.wire.outgoing import Outgoing
from echo.wire.settings import SETTINGS_ACK
from echo.wire.state import CLOSED, RECV_DATA, RECV_END, RECV_HEADERS, RECV_RESET, SEND_RESET, TRANSITIONS
from echo.wire.stream import S

# Lists above the announced limit are still decoded up to this multiple of it. That keeps HPACK's table intact, so only
# their own call fails.
HARD_LIMIT_FACTOR: Final = 4

_TOO_WIDE: Final = "a window of more than 2^31-1 bytes"  # RFC 9113 §6.9.1


class Receiving(ABC, Generic[S]):
    """The state of a connection, changed by the peer's frames.

    Attributes:
        streams: The open streams, by id.
    """

    _client: ClassVar[bool]

    def __init__(self, limits: Limits) -> None:
        self.streams: dict[int, S] = {}
        self._limits = limits
        hard_limit = HARD_LIMIT_FACTOR * limits.max_header_list_size
        self._incoming = Incoming(client=self._client, max_block=hard_limit)
        self._decoder = Decoder(hard_limit)
        self._out: Outgoing[S] = Outgoing(limits.max_output, limits.max_unsent, self._on_end_sent)
        # What the peer may send us: at most, and now; and at most on one stream.
        self._window_size = self._window = max(DEFAULT_WINDOW, limits.connection_window)
        self._stream_window = DEFAULT_WINDOW  # Until the peer has acknowledged our SETTINGS (RFC 9113 §6.5.3).
        self._closed = ClosedStreams()
        self._highest = 0  # The id of the last stream opened; only clients open streams.
        self._budget = Budget(limits.flood_burst, limits.flood_rate)
        self._now = 0.0
        self._events: list[Event[S]] = []
        self._receivers: Final[dict[int, Callable[[int, int, bytes], None]]] = {
            frames.DATA: self._receive_data,
            frames.HEADERS: self._receive_headers,
            frames.PRIORITY: self._receive_priority,
            frames.RST_STREAM: self._receive_reset,
            frames.SETTINGS: self._receive_settings,
            frames.PUSH_PROMISE: self._receive_push,
            frames.PING: self._receive_ping,
            frames.GOAWAY: self._receive_goaway,
            frames.WINDOW_UPDATE: self._receive_window_update,
        }

    # Hooks for the two roles

    @abstractmethod
    def _on_fields(self, stream_id: int, stream: S | None, fields: Sequence[Field], *, ended: bool) -> None:
        """A header list arrived, ``ended`` with END_STREAM; ``stream`` is None if the id is not that of an open stream.

        Raises MalformedError, which ends the stream.
        """

    @abstractmethod
    def _on_peer_ended(self, stream: S) -> None:
        """The peer has ended its side of the stream with DATA."""

    @abstractmethod
    def _on_reset(self, stream: S, error_code: int, broken: str | None) -> None:
        """The stream, which has left `streams`, was reset: by the peer, or for a rule that the peer has ``broken``."""

    @abstractmethod
    def _on_unserved(self, stream: S, data: bytes) -> None:
        """DATA arrived for a stream that the layer above does not know."""

    def _on_end_sent(self, stream: S) -> None:
        """Our side of the stream is complete and in the output. A client's stream then waits for the server's end."""

    def _on_goaway(self, event: GoAwayReceived) -> None:
        """The peer accepts no further streams."""

    # Frames

    def _receive_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._window -= size
        if self._window < 0:
            raise PeerConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window allows")
        if self._window * 2 <= self._window_size:
            self._out.put(frames.window_update(0, self._window_size - self._window))
            self._window = self._window_size
        data = unpadded(payload) if flags & frames.PADDED else payload  # Checked on any stream (RFC 9113 §6.1).
        stream = self.streams.get(stream_id)
        if stream is None:
            self._receive_late_data(stream_id, size, ended=bool(flags & END_STREAM))
            return
        if RECV_DATA not in TRANSITIONS[stream.state]:
            raise PeerStreamError(ErrorCode.STREAM_CLOSED, f"DATA on a stream that is {stream.state}")
        if not stream.head_received:
            raise PeerStreamError(ErrorCode.PROTOCOL_ERROR, "DATA before the head of the response")
        if size > stream.receive_window:
            raise PeerStreamError(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window allows")
        stream.receive_window -= size
        if data is not payload:
            stream.acknowledged -= size - len(data)  # The padding is consumed here.
            self._give_back(stream, stream.messages.consumed)
        if stream.content_left is not None:
            stream.content_left -= len(data)
            if stream.content_left < 0:
                raise PeerStreamError(ErrorCode.PROTOCOL_ERROR, "more DATA than content-length says")
        if not data:
            if not flags & END_STREAM:
                self._charge("empty DATA")
        elif stream.served:
            stream.messages.feed(data)
            stream.data_checked = stream.content_left is None
            events = self._events
            if not events or type(last := events[-1]) is not DataReceived:
                events.append(DataReceived([stream]))
            elif last.streams[-1] is not stream:
                last.streams.append(stream)
        else:
            self._on_unserved(stream, data)
        if flags & END_STREAM and stream.state != CLOSED:
            self._end_of_data(stream)

    def _receive_late_data(self, stream_id: int, size: int, *, ended: bool) -> None:
        """Handle DATA on a stream that is idle or closed."""
        self._check_not_idle(stream_id, "DATA")
        if self._closed.receive(stream_id, size):
            if ended:
                self._closed.end(stream_id)
            return
        self._charge("DATA on a stream that is closed")
        if not self._closed.expects(stream_id):  # A stream that we reset needs no second RST_STREAM.
            raise PeerStreamError(ErrorCode.STREAM_CLOSED, "DATA on a stream that is closed")

    def _receive_headers(self, flags: int, stream_id: int, block: bytes) -> None:
        """Handle a whole header block; `echo.wire.incoming` has joined its frames."""
        fields = self._decoder.decode(block)
        if flags & frames.PRIORITIZED:  # `Incoming` keeps the flag only on a stream that depends on itself.
            if stream_id % 2 and not self._client:
                self._highest = max(self._highest, stream_id)  # The stream counts as opened, and fails here.
            self._check_not_idle(stream_id, "HEADERS that depend on their own stream")
            raise PeerStreamError(ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")
        stream = self.streams.get(stream_id)
        if stream is not None and RECV_HEADERS not in TRANSITIONS[stream.state]:
            raise PeerStreamError(ErrorCode.STREAM_CLOSED, f"HEADERS on a stream that is {stream.state}")
        self._on_fields(stream_id, stream, fields, ended=bool(flags & END_STREAM))

    def _receive_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._charge("PRIORITY")  # Deprecated, and ignored (RFC 9113 §5.3.2).
        if len(payload) != 5:
            self._check_not_idle(stream_id, f"PRIORITY of {len(payload)} bytes", ErrorCode.FRAME_SIZE_ERROR)
            raise PeerStreamError(ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes")
        if UINT32.unpack_from(payload)[0] & frames.MAX_STREAM_ID == stream_id:
            self._check_not_idle(stream_id, "PRIORITY that depends on its own stream")
            raise PeerStreamError(ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")

    def _receive_reset(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._check_not_idle(stream_id, "RST_STREAM")
        stream = self.streams.get(stream_id)
        if stream is None:
            if not self._closed.reset(stream_id):
                self._charge("RST_STREAM on a stream that is closed")
            return
        stream.step(RECV_RESET)
        self._close(stream)
        self._on_reset(stream, UINT32.unpack(payload)[0], None)

    def _receive_settings(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if flags & ACK:
            # Our settings bind the peer from its acknowledgement on (RFC 9113 §6.5.3).
            if change := self._limits.stream_window - self._stream_window:
                self._stream_window += change
                for stream in self.streams.values():
                    stream.receive_window += change  # RFC 9113 §6.9.2
            return
        self._charge("SETTINGS")
        peer = self._out.peer
        before = peer.initial_window_size
        peer.update(payload, from_server=self._client)
        self._out.encoder.resize(peer.header_table_size)
        self._out.put(SETTINGS_ACK)
        if change := peer.initial_window_size - before:
            for stream in self.streams.values():
                stream.send_window += change
                if stream.send_window > MAX_WINDOW:
                    raise PeerConnectionError(ErrorCode.FLOW_CONTROL_ERROR, _TOO_WIDE)
                self._out.enqueue(stream)
        self._events.append(SettingsReceived())

    def _receive_push(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise PeerConnectionError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, though push is off")  # RFC 9113 §8.4

    def _receive_ping(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if flags & ACK:
            self._events.append(PingAcknowledged(payload))
            return
        # To measure bandwidth, gRPC peers ping once each round trip while DATA arrives: maybe thousands a second.
        if not self._out.sent_data:
            self._charge("PING")
        self._out.sent_data = False
        self._out.put(frames.ping(payload, ack=True))

    def _receive_goaway(self, _flags: int, _stream_id: int, payload: bytes) -> None:
        last, error_code = frames.GOAWAY_HEAD.unpack_from(payload)
        event = GoAwayReceived(last & frames.MAX_STREAM_ID, error_code, payload[8:])
        self._events.append(event)
        self._on_goaway(event)

    def _receive_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        increment = UINT32.unpack(payload)[0] & MAX_WINDOW
        if stream_id == 0:
            if not increment:
                raise PeerConnectionError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
            self._out.window += increment
            if self._out.window > MAX_WINDOW:
                raise PeerConnectionError(ErrorCode.FLOW_CONTROL_ERROR, _TOO_WIDE)
            return
        self._check_not_idle(stream_id, "WINDOW_UPDATE")
        stream = self.streams.get(stream_id)
        if stream is None:
            return  # The peer may have sent it before it knew that the stream was closed (RFC 9113 §5.1).
        if not increment:
            raise PeerStreamError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        stream.send_window += increment
        if stream.send_window > MAX_WINDOW:
            raise PeerStreamError(ErrorCode.FLOW_CONTROL_ERROR, _TOO_WIDE)
        self._out.enqueue(stream)

    # Shared by the handlers above

    def _end_of_data(self, stream: S) -> None:
        stream.data_checked = False
        self._check_content(stream)
        stream.messages.close()
        stream.step(RECV_END)
        self._on_peer_ended(stream)

    def _check_content(self, stream: S) -> None:
        """Check, at the end of the peer's DATA, that it matches content-length (RFC 9113 §8.1.1)."""
        if stream.content_left:
            raise PeerStreamError(ErrorCode.PROTOCOL_ERROR, "less DATA than content-length says")

    def _check_not_idle(self, stream_id: int, what: str, code: ErrorCode = ErrorCode.PROTOCOL_ERROR) -> None:
        """Fail the connection on a frame for a stream that was never opened (RFC 9113 §5.1, idle)."""
        if stream_id > self._highest or stream_id % 2 == 0:
            raise PeerConnectionError(code, f"{what} on stream {stream_id}, which is idle")

    def _give_back(self, stream: S, consumed: int) -> None:
        """Return the bytes of messages consumed to the stream's window. Only half of it is worth a WINDOW_UPDATE."""
        credit = consumed - stream.acknowledged
        if credit * 2 >= self._stream_window and not stream.peer_ended:
            self._out.put(frames.window_update(stream.id, credit))
            stream.receive_window += credit
            stream.acknowledged = consumed

    def _reset(self, stream: S, error_code: int) -> None:
        """End a stream with RST_STREAM."""
        stream.step(SEND_RESET)
        self._out.put(frames.rst_stream(stream.id, error_code))
        self._close(stream, reset=True)

    def _close(self, stream: S, *, reset: bool = False) -> None:
        """Remove a stream from the table. After a ``reset`` of ours, the peer may send more before it knows."""
        stream.state = CLOSED
        if self.streams.pop(stream.id, None) is not None:
            self._closed.add(stream.id, stream.receive_window, reset=reset)
            self._out.forget(stream)

    def _charge(self, what: str) -> None:
        """Charge the peer's budget for a frame of a kind used in floods.

        Raises:
            PeerConnectionError: The budget is used up.
        """
        if not self._budget.spend(self._now):
            what = f"too many useless frames, the last one {what}"
            raise PeerConnectionError(ErrorCode.ENHANCE_YOUR_CALM, what)
