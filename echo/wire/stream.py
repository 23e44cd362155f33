"""The wire's record of one stream: everything that HTTP/2 and gRPC's framing know of a call."""

from collections.abc import Sequence
from typing import Final

from echo.wire.flow import ReceiveWindow, SendWindow
from echo.wire.head import Trailers
from echo.wire.hpack import Field
from echo.wire.message import PREFIX_SIZE, MessageDecoder
from echo.wire.outbound import OutboundBuffer
from echo.wire.state import CLOSED, HALF_CLOSED_LOCAL, IDLE, OPEN, TRANSITIONS, State, Step

# As an `end`: nothing follows the messages but the flag.
END_OF_MESSAGES: Final[Sequence[Field]] = ()


class Stream:
    """One stream of a connection, from its head to its end. `Connection` alone changes it; anybody may look.

    The layer above may derive a class of its own and have the connection make its streams of that (see `Connection`).

    Attributes:
        id: Its number; 0 until it is opened.
        state: Where it stands (`echo.wire.state`).
        head_sent: Whether our header list went out.
        head_received: Whether the peer's came.
        served: Whether the layer above knows of it; else the peer's DATA is dropped, and there are no events.
        messages: The peer's messages, as they come.
        unsent: Our messages that have not become frames yet.
        sent_trailers: How our side has ended, or is about to.
    """

    __slots__ = (
        "acknowledged",
        "content_left",
        "end",
        "fed",
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
        self.id = stream_id
        self.state: State = IDLE
        self.head_sent = False
        self.head_received = False
        self.served = False
        self.messages = MessageDecoder(max_message_size)
        self.receive_window = ReceiveWindow(receive_window)
        self.fed = 0  # Bytes of DATA that came,
        self.acknowledged = 0  # and of those, the ones that the peer may replace by new ones.
        self.content_left: int | None = None  # DATA that the peer's content-length still promises.
        self.send_window = SendWindow(send_window)
        self.unsent = OutboundBuffer()
        self.sent_trailers: Trailers | None = None
        # What follows our last message: trailers, or just the flag, or RST_STREAM with this code.
        self.end: Sequence[Field] | int | None = None

    def step(self, step: Step) -> None:
        """Move to the next state. Raises KeyError if the table has no such step."""
        self.state = TRANSITIONS[self.state][step]

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen on it."""
        return self.state != CLOSED

    @property
    def received_bytes(self) -> int:
        """The bytes of the messages taken, as they travelled, without their prefixes."""
        return max(0, self.messages.consumed - PREFIX_SIZE * self.messages.messages)

    @property
    def sent_bytes(self) -> int:
        """Likewise of those that have become frames."""
        return max(0, self.unsent.taken - PREFIX_SIZE * self.unsent.messages)

    @property
    def peer_ended(self) -> bool:
        """Whether the peer sends nothing more: it has ended its side, or the stream is over."""
        return self.state != OPEN and self.state != HALF_CLOSED_LOCAL and self.state != IDLE
