"""gRPC over one HTTP/2 connection, without I/O.

Theory of operation
-------------------
Bytes from the peer go into `Connection.receive`, which yields events; what the application does goes into the methods
here and in the two roles, `echo.wire.server` and `echo.wire.client`; bytes for the peer come out of
`Connection.take_output`. Nothing here waits, so between two awaits of the caller the state of the connection is whole:
header lists enter HPACK's table in the order they leave, and a reset needs nobody's turn.

Outgoing messages do not become DATA frames when they are sent but when output is taken. Each stream has a buffer; the
streams with something to send stand in a ring and put one frame each into the output, until it is full or the windows
are spent (RFC 9113 §5.2). So a burst of small messages leaves in one frame, one busy stream cannot starve another,
and what a connection holds unsent is bounded by the output and by the buffers, at whose limit senders are made to wait
by the layer above. Trailers and END_STREAM wait behind the messages of their own stream.

Incoming bytes count against two windows. The connection's is reopened as the bytes arrive: they are bounded by the
streams' windows already, and a stream nobody reads must not stop the others. A stream's is reopened by `acknowledge`,
as the application takes messages (RFC 9113 §6.9). Updates are sent when half a window has gathered.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, cast

import h2.events as h2_events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from echo.wire.errors import LocalProtocolError
from echo.wire.events import (
    ConnectionFailed,
    DataReceived,
    Event,
    GoAwayReceived,
    PingAcknowledged,
    SettingsReceived,
    StreamReset,
)
from echo.wire.head import (
    Fields,
)
from echo.wire.http2 import HTTP2, FloodError, FrameError
from echo.wire.limits import Limits
from echo.wire.outbound import OutboundBuffer

LAST_STREAM_ID: Final = 2**31 - 1

END_STREAM: Final[list[tuple[str, str]]] = []  # As an "end": nothing follows the messages but the flag.


class Stream:
    """The wire's own record of an open stream."""

    __slots__ = ("credit", "end", "head_sent", "id", "outbound", "peer_ended", "queued")

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.outbound = OutboundBuffer()
        self.end: list[tuple[str, str]] | None = None  # What follows the last message: trailers, or just the flag.
        self.queued = False  # In the ring of those with something to send.
        self.head_sent = False
        self.peer_ended = False
        self.credit = 0  # Bytes taken by the application since the last WINDOW_UPDATE.


def fields_of(event: h2_events.RequestReceived | h2_events.ResponseReceived | h2_events.TrailersReceived) -> Fields:
    """An event's header list: strings, since `HTTP2` has a header_encoding."""
    return cast("Fields", event.headers or ())


class Connection:
    """What both roles share: the ring of senders, flow control, resets, pings and GOAWAY."""

    def __init__(self, limits: Limits, *, client: bool) -> None:
        self._h2 = HTTP2(client=client, limits=limits)
        self._limits = limits
        self._streams: dict[int, Stream] = {}
        self._ring: deque[Stream] = deque()
        self._credit = 0
        self._relieved: list[int] = []
        self._now = 0.0
        self._spoke = False  # A message or the head of a response went out since the last PING came.
        self._translate: dict[type[h2_events.Event], Callable[..., Event | None]] = {
            h2_events.DataReceived: self._on_data,
            h2_events.StreamReset: self._on_reset,
            h2_events.WindowUpdated: self._on_window,
            h2_events.RemoteSettingsChanged: self._on_settings,
            h2_events.PingAckReceived: self._on_ping_ack,
            h2_events.ConnectionTerminated: self._on_goaway,
        }

    _resets_cost = False  # To a client a reset is no more than an answer.

    # Bytes in, events out

    def start(self) -> None:
        """Queue what opens the connection from our side (RFC 9113 §3.4). Call once, before anything else."""
        self._h2.start()

    def receive(self, data: bytes, now: float = 0.0) -> Iterator[Event]:
        """Yield what the bytes mean. Run it to its end; after `ConnectionFailed` nothing more is to be fed.

        Args:
            data: What came, cut anywhere.
            now: When it came, in seconds on a clock that does not go back; budgets refill by it.
        """
        translate = self._translate
        self._now = now
        try:
            for event in self._h2.receive(data, now):
                handler = translate.get(type(event))
                if handler is not None:
                    translated = handler(event)
                    if translated is not None:
                        yield translated
        except FrameError as error:
            yield ConnectionFailed(error.error_code, error.reason)
        except FloodError as error:
            self.goaway(error.error_code, debug=str(error).encode())
            yield ConnectionFailed(error.error_code, str(error))

    @property
    def mid_headers(self) -> bool:
        """Whether the peer has begun a header block and not ended it."""
        return self._h2.mid_headers

    # Bytes out

    @property
    def has_output(self) -> bool:
        """Whether `take_output` would give something."""
        return bool(self._h2.output_size or (self._ring and self._h2.outbound_flow_control_window > 0))

    def take_output(self) -> bytes:
        """The bytes to write next, about ``max_output`` of them at most."""
        ring = self._ring
        while ring and self._h2.output_size < self._limits.max_output:
            stream = ring[0]
            if stream.outbound and self._h2.outbound_flow_control_window <= 0:
                break  # The connection's window is spent; the ring stays as it is.
            ring.popleft()
            if stream.queued:
                stream.queued = self._send_frame(stream)
                if stream.queued:
                    ring.append(stream)
        return self._h2.data_to_send()

    def take_relieved(self) -> list[int]:
        """The streams whose senders may go on: their buffers have room again, or all is sent."""
        relieved, self._relieved = self._relieved, []
        return relieved

    def _send_frame(self, stream: Stream) -> bool:
        """Move one DATA frame of the stream, and its end, to the output; tell whether there is more to move now."""
        http2 = self._h2
        unsent = len(stream.outbound)
        if unsent:
            size = min(unsent, http2.local_flow_control_window(stream.id), http2.max_outbound_frame_size)
            if size <= 0:
                return False  # A window is spent: its update puts the stream back into the ring.
            ends = size == unsent and stream.end is END_STREAM
            http2.send_body(stream.id, stream.outbound.take(size), end=ends)
            self._spoke = True
            left = unsent - size
            if unsent > self._limits.max_unsent >= left or not left:
                self._relieved.append(stream.id)
            if left:
                return True
            if ends:
                self._ended_locally(stream)
                return False
        if stream.end is not None:
            if stream.end is END_STREAM:
                http2.end_stream(stream.id)
            else:
                http2.send_fields(stream.id, stream.end, end=True)
            self._relieved.append(stream.id)
            self._ended_locally(stream)
        return False

    def _enqueue(self, stream: Stream) -> None:
        if not stream.queued:
            stream.queued = True
            self._ring.append(stream)

    def _ended_locally(self, stream: Stream) -> None:
        """Our side of the stream is complete and in the output."""

    # Streams

    def is_open(self, stream_id: int) -> bool:
        """Whether the stream can still be reset: neither reset nor, in both directions, complete."""
        return stream_id in self._streams

    def unsent(self, stream_id: int) -> int:
        """Bytes of messages the stream still has to move to the output; 0 for a stream that is over."""
        stream = self._streams.get(stream_id)
        return len(stream.outbound) if stream is not None else 0

    def send_message(self, stream_id: int, message: bytes) -> None:
        """Add one framed message (`echo.wire.message.encode_message`) to the stream's buffer.

        Raises:
            LocalProtocolError: The stream is over, its end was already sent, or its head was not.
        """
        stream = self._sending(stream_id)
        if not stream.head_sent:
            raise LocalProtocolError(f"stream {stream_id} has no head yet")
        stream.outbound.push(message)
        self._enqueue(stream)

    def reset(self, stream_id: int, error_code: int) -> None:
        """End the stream at once with RST_STREAM; does nothing to a stream that is over."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._forget(stream)
            self._h2.reset_stream(stream_id, error_code)
            self._h2.forget_if_closed(stream_id)

    def acknowledge(self, stream_id: int, size: int) -> bool:
        """The application has taken ``size`` received bytes; the peer may send as many more (RFC 9113 §6.9).

        Tells whether the peer is to hear of it now.
        """
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.peer_ended:
            stream.credit += size
            if stream.credit * 2 >= self._limits.stream_window:
                self._h2.increment_flow_control_window(stream.credit, stream_id)
                stream.credit = 0
                return True
        return False

    def _sending(self, stream_id: int) -> Stream:
        stream = self._streams.get(stream_id)
        if stream is None or stream.end is not None:
            raise LocalProtocolError(f"stream {stream_id} takes no more messages")
        return stream

    def _forget(self, stream: Stream) -> None:
        """Release the record of a stream that is over; whoever waits for its buffer is told."""
        del self._streams[stream.id]
        stream.outbound.clear()
        stream.queued = False  # It may still stand in the ring, which then skips it.
        self._relieved.append(stream.id)

    # The connection

    def ping(self, data: bytes) -> None:
        """Queue a PING with eight bytes that tell it from others (RFC 9113 §6.7)."""
        self._h2.ping(data)

    def goaway(
        self, error_code: int = ErrorCodes.NO_ERROR, *, last_stream_id: int | None = None, debug: bytes = b""
    ) -> None:
        """Queue a GOAWAY: no streams above ``last_stream_id``, by default the last that came, are taken from now on."""
        last = self._h2.highest_inbound_stream_id if last_stream_id is None else last_stream_id
        self._h2.send_goaway(last, error_code, debug)

    # h2's events

    def _on_data(self, event: h2_events.DataReceived) -> Event | None:
        size = event.flow_controlled_length or 0
        self._credit += size
        if self._credit * 2 >= self._limits.connection_window:
            self._h2.increment_flow_control_window(self._credit)
            self._credit = 0
        data = event.data or b""
        if event.stream_id not in self._streams:
            return None
        if size > len(data):
            self.acknowledge(event.stream_id, size - len(data))  # Padding reaches no application.
        return DataReceived(event.stream_id, bytes(data)) if data else None

    def _on_reset(self, event: h2_events.StreamReset) -> Event | None:
        self._h2.forget_if_closed(event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return None
        self._forget(stream)
        if self._resets_cost and not stream.head_sent:
            # To open streams only to reset them makes a server work for nothing ("rapid reset", CVE-2023-44487).
            self._h2.charge("a reset of a call that was not answered yet")
        return StreamReset(event.stream_id, int(event.error_code))

    def _on_window(self, event: h2_events.WindowUpdated) -> None:
        stream = self._streams.get(event.stream_id)  # None for the connection (0): its ring is still in place.
        if stream is not None and stream.outbound:
            self._enqueue(stream)

    def _on_settings(self, event: h2_events.RemoteSettingsChanged) -> Event:
        if SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
            for stream in self._streams.values():
                if stream.outbound:
                    self._enqueue(stream)
        return SettingsReceived()

    def _on_ping_ack(self, event: h2_events.PingAckReceived) -> Event:
        return PingAcknowledged(event.ping_data or b"")

    def _on_goaway(self, event: h2_events.ConnectionTerminated) -> Event:
        return GoAwayReceived(event.last_stream_id or 0, int(event.error_code or 0), event.additional_data or b"")
