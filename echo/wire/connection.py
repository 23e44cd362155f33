"""One HTTP/2 connection, without I/O: what both roles share.

Theory of operation
-------------------
`Connection.receive` turns bytes from the peer into events. The application acts through the methods here and in the two
roles, `echo.wire.server` and `echo.wire.client`. `Connection.take_output` returns the bytes for the peer. Nothing here
waits, so the connection's state is consistent between any two awaits of the caller: header lists enter HPACK's table in
sending order, and a reset waits for nothing.

The table of streams holds the open ones (`echo.wire.stream`), each in a state of `echo.wire.state`. Each frame type has
a method, which raises the peer's errors: `PeerStreamError` ends a stream, `PeerConnectionError` the connection. Frames
are sent through `echo.wire.outgoing`.

Incoming bytes count against two windows. The connection's is reopened as the bytes arrive: the streams' windows already
bound them, and a stream that nobody reads must not stall the others. A stream's window is reopened as the application
takes messages (RFC 9113 §6.9). Updates are sent once they amount to half a window.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from echo.wire import frames
from echo.wire.errors import ForeignProtocolError, LocalProtocolError, PeerConnectionError, PeerStreamError
from echo.wire.events import ConnectionFailed, DataReceived, Event
from echo.wire.frames import DEFAULT_WINDOW, ErrorCode
from echo.wire.limits import Limits
from echo.wire.receiving import Receiving
from echo.wire.settings import announce
from echo.wire.state import CLOSED, OPEN, SEND_DATA, TRANSITIONS
from echo.wire.stream import S

MAX_DEBUG_DATA: Final = 256  # Bytes of debug data in a GOAWAY.

NewStream = Callable[[int, int, int, int], S]
"""Creates a stream from its id, the largest message accepted, and its receive and send windows."""


class Connection(Receiving[S]):
    """What both roles share.

    Args:
        limits: The connection's limits.
        new_stream: The class of its streams: `Stream` or a subclass.

    Attributes:
        refusing: Whether new streams are refused; `goaway` without ``last_stream_id`` sets it.
    """

    refusing: bool = False

    def __init__(self, limits: Limits, new_stream: NewStream[S]) -> None:
        super().__init__(limits)
        self._new_stream = new_stream
        self._started = False
        # A server's answers are bounded: no well-behaved client causes more than two header lists for each open call.
        # A client's output is mostly its own calls, and the flood budget bounds its answers to the server.
        answers = limits.max_output + 2 * limits.max_concurrent_streams * limits.max_header_list_size
        self._max_answers = math.inf if self._client else answers

    # Bytes in, events out

    def start(self) -> None:
        """Queue our connection preface, unless that was done (RFC 9113 §3.4). A client calls it before anything else.

        A server's is queued before its first frame, at the latest when the client's SETTINGS arrive, which follow its
        preface at once. Until then, an HTTP/1 client can still be answered in HTTP/1.
        """
        if self._started:
            return
        self._started = True
        self._out.put((frames.PREFACE if self._client else b"") + announce(self._limits, client=self._client))
        if more := self._window - DEFAULT_WINDOW:
            self._out.put(frames.window_update(0, more))

    def receive(self, data: bytes, now: float = 0.0) -> Sequence[Event[S]]:
        """Turn received bytes into events. Call no more after `ConnectionFailed`.

        Args:
            data: The bytes received, cut anywhere.
            now: When they arrived, in seconds on a monotonic clock; budgets refill by it.
        """
        self._now = now
        self._events = events = []
        receivers = self._receivers
        try:
            for kind, flags, stream_id, payload in self._incoming.receive(data, self._room, self._take_data):
                receiver = receivers.get(kind)
                if receiver is None:
                    self._charge("a frame of an unknown type")  # Otherwise ignored (RFC 9113 §5.5).
                    continue
                try:
                    receiver(flags, stream_id, payload)
                except PeerStreamError as error:
                    self._fail_stream(stream_id, error)
                if self._out.size > self._max_answers:
                    raise PeerConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many unsent answers")
        except PeerConnectionError as error:
            self._refuse(error)
            foreign = isinstance(error, ForeignProtocolError)
            events.append(ConnectionFailed(error.error_code, error.reason, foreign))
        # Otherwise ended streams would be kept until more bytes arrive.
        self._events = []
        return events

    def _room(self, stream_id: int) -> int:
        """How many bytes of DATA a stream can take without any check but counting; more might be an error."""
        stream = self.streams.get(stream_id)
        return 0 if stream is None or not stream.data_checked else min(self._window, stream.receive_window)

    def _take_data(self, stream_id: int, data: bytes) -> bool:
        """Handle DATA without flags as `_receive_data` does, if it need only be counted; returns whether it was."""
        stream = self.streams.get(stream_id)
        if stream is None or not stream.data_checked:
            return False
        size = len(data)
        window = self._window - size
        if size > stream.receive_window or window * 2 <= self._window_size:
            return False
        self._window = window
        stream.receive_window -= size
        stream.messages.feed(data)
        events = self._events
        if not events or type(last := events[-1]) is not DataReceived:
            events.append(DataReceived([stream]))
        elif last.streams[-1] is not stream:
            last.streams.append(stream)
        return True

    def _fail_stream(self, stream_id: int, error: PeerStreamError) -> None:
        """Reset the stream whose rules the peer broke, at a charge: peers can provoke a flood of our resets, too."""
        self._charge(f"a stream error ({error.reason})")
        self._out.put(frames.rst_stream(stream_id, error.error_code))
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._close(stream, reset=True)
            self._on_reset(stream, error.error_code, error.reason)

    @property
    def mid_headers(self) -> bool:
        """Whether the peer has begun a header block and not ended it."""
        return bool(self._incoming.block)

    # Bytes out

    @property
    def has_output(self) -> bool:
        """Whether `take_output` would return anything."""
        return self._out.pending

    def take_output(self) -> bytes:
        """Take the bytes to write next, at most about ``max_output``."""
        return self._out.take()

    def take_writable(self) -> Sequence[S]:
        """Take the streams whose senders may continue: their buffers have room again, or they are over.

        Call it after each `take_output`, or the list grows.
        """
        out = self._out
        writable, out.writable = out.writable, []
        return writable

    # Calls

    def send_message(self, stream: S, message: bytes) -> None:
        """Add one framed message (`echo.wire.message.encode_message`) to the stream's buffer.

        Raises:
            LocalProtocolError: The stream is over, its end was already sent, or its head was not yet sent.
        """
        if stream.state != OPEN or stream.end is not None:  # Of an open stream there is nothing else to check.
            self._check_sending(stream)
        if not stream.head_sent:
            raise LocalProtocolError(f"stream {stream.id} has no head yet")
        stream.unsent.push(message)
        self._out.ring[stream.id] = stream

    def next_message(self, stream: S) -> bytes | None:
        """Take the peer's next message, decompressed; None if it has not fully arrived or none is left.

        The bytes taken are returned to the stream's window. If the message is incomplete, so are the bytes that have
        arrived, since the application is waiting for the rest (RFC 9113 §6.9). Messages that arrived before the stream
        ended can still be taken afterwards.

        Raises:
            GRPCError: The peer's message is invalid (INTERNAL) or too large (RESOURCE_EXHAUSTED).
        """
        messages = stream.messages
        message = messages.next_message()
        consumed = messages.consumed if message is not None else messages.consumed + messages.buffered
        if (consumed - stream.acknowledged) * 2 >= self._stream_window:
            self._give_back(stream, consumed)
        return message

    def reset(self, stream: S, error_code: int) -> None:
        """End the stream at once with RST_STREAM; does nothing if the stream is over."""
        if stream.state != CLOSED:
            self._reset(stream, error_code)

    # The connection

    def ping(self, data: bytes) -> None:
        """Queue a PING with eight bytes that identify it (RFC 9113 §6.7)."""
        self.start()
        self._out.put(frames.ping(data))

    def goaway(
        self, error_code: int = ErrorCode.NO_ERROR, *, last_stream_id: int | None = None, debug: bytes = b""
    ) -> None:
        """Queue a GOAWAY: streams above ``last_stream_id`` are not accepted.

        By default that is the peer's last stream, and new ones are refused from now on.
        """
        self.start()
        if last_stream_id is None:
            self.refusing = True
            last_stream_id = 0 if self._client else self._highest
        self._out.put(frames.goaway(last_stream_id, error_code, debug))

    # For the roles

    def let_go(self) -> None:
        """Open no more streams, and drop what makes them."""
        del self._new_stream

    def _open_stream(self, stream_id: int) -> S:
        """Add a new stream to the table; the caller takes its first step."""
        limits, peer = self._limits, self._out.peer
        stream = self._new_stream(stream_id, limits.max_message_size, self._stream_window, peer.initial_window_size)
        self.streams[stream_id] = stream
        self._highest = stream_id
        return stream

    def _check_sending(self, stream: S) -> None:
        if stream.end is not None or SEND_DATA not in TRANSITIONS[stream.state]:
            raise LocalProtocolError(f"stream {stream.id} accepts no more messages")

    def _refuse(self, error: PeerConnectionError) -> None:
        """Tell the peer why the connection ends, in its own protocol if possible."""
        if isinstance(error, ForeignProtocolError) and error.answer and not self._started:
            self._started = self.refusing = True
            self._out.put(error.answer)
        else:
            self.goaway(error.error_code, debug=error.reason.encode()[:MAX_DEBUG_DATA])
