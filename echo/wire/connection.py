"""One HTTP/2 connection, without I/O: what both roles share.

Theory of operation
-------------------
Bytes from the peer go into `Connection.receive`, which gives events; what the application does goes into the methods
here and in the two roles, `echo.wire.server` and `echo.wire.client`; bytes for the peer come out of
`Connection.take_output`. Nothing here waits, so between two awaits of the caller the state of the connection is whole:
header lists enter HPACK's table in the order they leave, and a reset needs nobody's turn.

The table of streams holds those that are open (`echo.wire.stream`), each in a state of `echo.wire.state`. A frame goes
to the method for its type, which raises what the peer did wrong: `PeerStreamError` ends a stream, `PeerConnectionError`
the connection. Frames leave by way of `echo.wire.outgoing`.

Incoming bytes count against two windows. The connection's is reopened as the bytes arrive: they are bounded by the
streams' windows already, and a stream nobody reads must not stop the others. A stream's is reopened as the application
takes messages (RFC 9113 §6.9). Updates are sent when half a window has gathered.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from echo.wire import frames
from echo.wire.errors import ForeignProtocolError, LocalProtocolError, PeerConnectionError, PeerStreamError
from echo.wire.events import ConnectionFailed, Event
from echo.wire.fields import MalformedError, list_size
from echo.wire.frames import DEFAULT_WINDOW, ErrorCode
from echo.wire.hpack import Field
from echo.wire.limits import Limits
from echo.wire.receiving import Receiving
from echo.wire.settings import UNLIMITED, announce
from echo.wire.state import CLOSED, SEND_DATA, TRANSITIONS
from echo.wire.status import GRPCError, Status
from echo.wire.stream import Stream

S = TypeVar("S", bound=Stream)

MAX_DEBUG_DATA: Final = 256  # Bytes of a GOAWAY's explanation.

NewStream = Callable[[int, int, int, int], S]
"""Makes a stream's record: its number, the largest message taken, its windows for receiving and for sending."""


class Connection(Receiving[S]):
    """What both roles share.

    Args:
        limits: What the connection may occupy.
        new_stream: The class of its streams: `Stream`, or one derived from it.
    """

    def __init__(self, limits: Limits, new_stream: NewStream[S]) -> None:
        super().__init__(limits)
        self._new_stream = new_stream
        # More answers than this come of no sound client's requests: two header lists for each call that may be open.
        # What a client has to send is its own calls; the answers that a server can have of it come out of the budget.
        answers = limits.max_output + 2 * limits.max_concurrent_streams * limits.max_header_list_size
        self._worth_telling = limits.stream_window // 2  # Bytes taken before the peer hears of them.
        self._max_answers = math.inf if self._client else answers

    # Bytes in, events out

    def start(self) -> None:
        """Queue what opens the connection from our side (RFC 9113 §3.4). Call once, before anything else."""
        self._out.put((frames.PREFACE if self._client else b"") + announce(self._limits, client=self._client))
        more = self._limits.connection_window - DEFAULT_WINDOW
        if more > 0:
            self._window.resize(self._limits.connection_window)
            self._out.put(frames.window_update(0, more))

    def receive(self, data: bytes, now: float = 0.0) -> Sequence[Event[S]]:
        """What the bytes mean. After `ConnectionFailed` nothing more is to be fed.

        Args:
            data: What came, cut anywhere.
            now: When it came, in seconds on a clock that does not go back; budgets refill by it.
        """
        self._now = now
        self._events = events = []
        receivers = self._receivers
        try:
            for kind, flags, stream_id, payload in self._incoming.receive(data, self._room):
                receiver = receivers.get(kind)
                if receiver is None:
                    self._charge("a frame of an unknown type")  # Ignored else (RFC 9113 §5.5).
                    continue
                try:
                    receiver(flags, stream_id, payload)
                except PeerStreamError as error:
                    self._fail_stream(error)
                except MalformedError as error:  # RFC 9113 §8.1.1
                    self._fail_stream(PeerStreamError(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)))
                if self._out.size > self._max_answers:
                    raise PeerConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "answers pile up that are not taken")
        except PeerConnectionError as error:
            self._refuse(error)
            foreign = isinstance(error, ForeignProtocolError)
            events.append(ConnectionFailed(error.error_code, error.reason, foreign))
        self._events = []  # Not to hold streams that are over until the peer says more.
        return events

    @property
    def mid_headers(self) -> bool:
        """Whether the peer has begun a header block and not ended it."""
        return self._incoming.mid_headers

    # Bytes out

    @property
    def has_output(self) -> bool:
        """Whether `take_output` would give something."""
        return self._out.pending

    def take_output(self) -> bytes:
        """The bytes to write next, about ``max_output`` of them at most."""
        return self._out.take()

    def take_relieved(self) -> Sequence[S]:
        """The streams whose senders may go on: their buffers have room again, or all is sent, or they are over.

        To be asked after `take_output`, or they gather.
        """
        out = self._out
        relieved, out.relieved = out.relieved, []
        return relieved

    # Calls

    def send_message(self, stream: S, message: bytes) -> None:
        """Add one framed message (`echo.wire.message.encode_message`) to the stream's buffer.

        Raises:
            LocalProtocolError: The stream is over, its end was already sent, or its head was not.
        """
        if not stream.head_sent:
            raise LocalProtocolError(f"stream {stream.id} has no head yet")
        self._check_sending(stream)
        stream.unsent.push(message)
        self._out.ring[stream.id] = stream

    def next_message(self, stream: S) -> bytes | None:
        """Take the next message of the peer, decompressed; None if it is not here yet, or if there is none.

        What was taken may be replaced by the peer; so may the beginning of a message that is not complete, now that it
        is asked for (RFC 9113 §6.9). Of a stream that is over, what has come before its end can still be taken.

        Raises:
            GRPCError: The peer's bytes are no sound message (INTERNAL), or too large a one (RESOURCE_EXHAUSTED).
        """
        messages = stream.messages
        message = messages.next_message()
        if message is None:
            if stream.fed > messages.consumed:
                self._acknowledge(stream, stream.fed)
        elif messages.consumed - stream.acknowledged >= self._worth_telling:
            self._acknowledge(stream, messages.consumed)
        return message

    def reset(self, stream: S, error_code: int) -> None:
        """End the stream at once with RST_STREAM; does nothing to a stream that is over."""
        if stream.state != CLOSED:
            self._reset(stream, error_code)

    # The connection

    def ping(self, data: bytes) -> None:
        """Queue a PING with eight bytes that tell it from others (RFC 9113 §6.7)."""
        self._out.put(frames.ping(data))

    def goaway(
        self, error_code: int = ErrorCode.NO_ERROR, *, last_stream_id: int | None = None, debug: bytes = b""
    ) -> None:
        """Queue a GOAWAY: no streams above ``last_stream_id``, by default the last that came, are taken from now on."""
        if last_stream_id is None:
            last_stream_id = 0 if self._client else self._highest
        self._out.put(frames.goaway(last_stream_id, error_code, debug))

    # For the roles

    def _open_stream(self, stream_id: int) -> S:
        """Put a new stream on the table; the caller sees to its first step."""
        limits, peer = self._limits, self._out.peer
        stream = self._new_stream(stream_id, limits.max_message_size, self._stream_window, peer.initial_window_size)
        self.streams[stream_id] = stream
        self._highest = stream_id
        return stream

    def _check_size(self, fields: Sequence[Field], what: str) -> None:
        """A header list of ours that is larger than the peer takes would end the connection, and all its calls."""
        limit = self._out.peer.max_header_list_size
        if limit != UNLIMITED and (size := list_size(fields)) > limit:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"{what} of {size} bytes exceeds the peer's limit of {limit}")

    def _check_sending(self, stream: S) -> None:
        if stream.end is not None or SEND_DATA not in TRANSITIONS[stream.state]:
            raise LocalProtocolError(f"stream {stream.id} takes no more messages")

    def _refuse(self, error: PeerConnectionError) -> None:
        """Tell the peer why nothing more is taken."""
        self.goaway(error.error_code, debug=error.reason.encode()[:MAX_DEBUG_DATA])

    def _acknowledge(self, stream: S, total: int) -> None:
        """The application has taken so many bytes of a stream in all; announce what the peer may send for them."""
        taken = total - stream.acknowledged
        if taken > 0:
            stream.acknowledged = total
            increment = stream.receive_window.give_back(taken)
            if not stream.peer_ended:
                self._announce(stream, increment)
