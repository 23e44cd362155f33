"""The calls that checks make: echo's four methods, and everything observed of one call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, ClientStream, GRPCError, Status, StreamTerminatedError
from echo.wire import Metadata

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")

Script = Mapping[str, str | Sequence[str]]
"""What the server is to do: ``x-echo-NAME`` without the prefix, and the value, or several."""


@dataclass(frozen=True)
class Rpc(Generic[SendT, RecvT]):
    """A method.

    Attributes:
        path: ``/package.Service/Method``.
        cardinality: Which sides send more than one message.
        request_type: What is sent.
        reply_type: What is received.
        message: Makes a message with this text.
    """

    path: str
    cardinality: Cardinality
    request_type: type[SendT]
    reply_type: type[RecvT]
    message: Callable[[str], SendT]


def _stream_message(text: str) -> StreamMessage:
    return StreamMessage(stream_id="probe", message=text)


_STREAMING: Final = "/com.gopay.echo.streaming.StreamingServer"
UNARY: Final = Rpc("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, Response, Message)
SERVER_STREAM: Final = Rpc(
    f"{_STREAMING}/ServerStream", Cardinality.UNARY_STREAM, StreamMessage, StreamResponse, _stream_message
)
CLIENT_STREAM: Final = Rpc(
    f"{_STREAMING}/ClientStream", Cardinality.STREAM_UNARY, StreamMessage, StreamResponse, _stream_message
)
BIDIRECTIONAL: Final = Rpc(
    f"{_STREAMING}/BidirectionalStream", Cardinality.STREAM_STREAM, StreamMessage, StreamResponse, _stream_message
)


def scripted(call_id: str, script: Script, headers: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """The metadata that sends the script to the server and has it record the call."""
    metadata = [*headers, ("x-echo-call-id", call_id)]
    for name, value in script.items():
        metadata += [(f"x-echo-{name}", one) for one in ([value] if isinstance(value, str) else value)]
    return metadata


@dataclass
class Answer(Generic[RecvT]):
    """Everything observed of a call. Times are on trio's clock.

    Attributes:
        call_id: The name that the server recorded it under.
        status: How it ended; if no status came, the one that our client derives.
        message: The status message.
        details: The status details.
        initial: Initial metadata; None if the response never began.
        trailing: Trailing metadata; None if the call did not end with trailers.
        replies: The messages received.
        at: When each was received.
        began: When the call began.
        ended: When it ended.
    """

    call_id: str
    status: Status = Status.OK
    message: str = ""
    details: object = None
    initial: Metadata | None = None
    trailing: Metadata | None = None
    replies: list[RecvT] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it ended with OK."""
        return self.status is Status.OK

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began

    def fail(self, error: GRPCError) -> None:
        """Record that the call ended with this error."""
        self.status, self.message, self.details = error.status, error.message or "", error.details

    def __str__(self) -> str:
        return f"{self.status.name}: {self.message}" if self.message else self.status.name


async def gather(
    stream: ClientStream[SendT, RecvT],
    answer: Answer[RecvT],
    messages: Sequence[SendT],
    *,
    streaming: bool,
    interval: float = 0.0,
) -> None:
    """Make a prepared call: send the messages, half-close, record everything that comes. Raises no `GRPCError`.

    Args:
        stream: The call, not begun.
        answer: Where to record it.
        messages: What to send; exactly one unless ``streaming``.
        streaming: Whether the method takes many messages.
        interval: Seconds between them.
    """
    answer.began = trio.current_time()
    try:
        async with stream, trio.open_nursery() as nursery:
            try:
                if streaming:
                    await stream.send_request(end=not messages)
                    nursery.start_soon(_send, stream, messages, interval)
                else:
                    await stream.send_message(messages[0], end=True)
                while (reply := await stream.recv_message()) is not None:
                    answer.replies.append(reply)
                    answer.at.append(trio.current_time())
                await stream.recv_trailing_metadata()
            except GRPCError as error:
                answer.fail(error)
            nursery.cancel_scope.cancel()
    except GRPCError as error:  # Leaving the block checks the status once more.
        answer.fail(error)
    answer.initial, answer.trailing = stream.initial_metadata, stream.trailing_metadata
    answer.ended = trio.current_time()


async def _send(stream: ClientStream[SendT, RecvT], messages: Sequence[SendT], interval: float) -> None:
    try:
        for number, message in enumerate(messages):
            if number and interval:
                await trio.sleep(interval)
            await stream.send_message(message, end=number == len(messages) - 1)
    except (GRPCError, StreamTerminatedError):
        pass  # The receiver gets the same error.
