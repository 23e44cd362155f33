"""One stream's record: everything that HTTP/2 and gRPC's framing know about a call."""

from collections.abc import Sequence
from typing import Final, TypeVar

from echo.wire.head import Trailers
from echo.wire.header_lists import Field
from echo.wire.message import PREFIX_SIZE, MessageDecoder
from echo.wire.outbound import OutboundBuffer
from echo.wire.state import HALF_CLOSED_LOCAL, IDLE, OPEN, TRANSITIONS, State, Step

# A value of `Stream.end`: END_STREAM alone follows the messages, no trailers.
END_OF_MESSAGES: Final[Sequence[Field]] = ()


class Stream:
    """One stream of a connection, from its head to its end. Only `Connection` changes it; anyone may read it.

    The layer above may subclass it and have the connection create its streams from the subclass (see `Connection`).

    Attributes:
        id: The stream's number; 0 until it is opened.
        state: The stream's state (`echo.wire.state`).
        head_sent: Whether we have sent our header list.
        head_received: Whether the peer's header list has arrived.
        receive_window: Bytes of DATA that the peer may send now. Negative after a smaller size has taken effect.
        send_window: Bytes of DATA that we may send now. Negative, too, if the peer's settings shrink it.
        acknowledged: Bytes returned to the peer's window, less padding: of messages consumed, that is, taken by the
            application or waited for.
        served: Whether the layer above knows the stream. If not, the peer's DATA is dropped and no events are reported.
        data_checked: Whether DATA of the peer has passed all checks; more of it need only be counted, until its end.
        messages: Decodes the peer's messages.
        unsent: Our messages that are not in frames yet.
        sent_trailers: The trailers we have sent or are about to send.
    """

    __slots__ = (
        "acknowledged",
        "content_left",
        "data_checked",
        "end",
        "head_received",
        "head_sent",
        "id",
        "messages",
        "receive_window",
        "send_window",
        "sent_trailers",
        "served",
        "state",
        "unsent",
    )

    def __init__(self, stream_id: int, max_message_size: int, receive_window: int, send_window: int) -> None:
        self.id: int = stream_id
        self.state: State = IDLE
        self.head_sent: bool = False
        self.head_received: bool = False
        self.served: bool = False
        self.data_checked: bool = False
        self.messages: MessageDecoder = MessageDecoder(max_message_size)
        self.receive_window: int = receive_window
        self.acknowledged: int = 0
        self.content_left: int | None = None  # Bytes of DATA still due by the peer's content-length.
        self.send_window: int = send_window
        self.unsent: OutboundBuffer = OutboundBuffer()
        self.sent_trailers: Trailers | None = None
        # What follows our last message: trailers, END_STREAM alone, or RST_STREAM with this code.
        self.end: Sequence[Field] | int | None = None

    def step(self, step: Step) -> None:
        """Move to the next state. Raises KeyError if the table has no such step."""
        self.state = TRANSITIONS[self.state][step]

    @property
    def received_bytes(self) -> int:
        """Bytes of the messages taken, as sent on the wire, without their prefixes."""
        return max(0, self.messages.consumed - PREFIX_SIZE * self.messages.messages)

    @property
    def sent_bytes(self) -> int:
        """Bytes of our messages that are in frames, without their prefixes."""
        return max(0, self.unsent.taken - PREFIX_SIZE * self.unsent.messages)

    @property
    def peer_ended(self) -> bool:
        """Whether the peer will send nothing more: it has ended its side, or the stream is over."""
        return self.state != OPEN and self.state != HALF_CLOSED_LOCAL and self.state != IDLE


S = TypeVar("S", bound=Stream)  # The class of a connection's streams.
