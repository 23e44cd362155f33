"""What a handler gets: the surface of ``grpclib.server.Stream`` over a call of our transport."""

import logging
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint
from grpclib.const import Handler
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.exceptions import ProtocolError
from multidict import MultiDict

from echo.rpc.codec import decode
from echo.rpc.deadline import Deadline
from echo.rpc.events import ServerEvents
from echo.transport import Peer, ServerCall
from echo.wire import GRPCError, Metadata, MetadataLike, Request, Response, Status, Trailers

log = logging.getLogger(__name__)

RecvT = TypeVar("RecvT")
SendT = TypeVar("SendT")


@dataclass(frozen=True, slots=True)
class Terms:
    """What all calls of a server have in common.

    Attributes:
        codec: Makes bytes of messages, and messages of bytes.
        details_codec: The same for what a status has besides.
        events: Who listens.
    """

    codec: CodecBase
    details_codec: StatusDetailsCodecBase | None
    events: ServerEvents


class ServerStream(AsyncIterator[RecvT], Generic[RecvT, SendT]):
    """One call, from the handler's side.

    A handler may receive in one task and send in another of its own nursery. When the client resets the call or
    vanishes, or the deadline passes, the handler is cancelled wherever it waits. The call ends with status OK when the
    handler returns, and with the status of a `GRPCError` it raises.

    Attributes:
        metadata: What the client sent along.
    """

    __slots__ = (
        "_call",
        "_handler",
        "_head_sent",
        "_request_received",
        "_terms",
        "ended",
        "message_sent",
        "metadata",
    )

    def __init__(
        self,
        call: ServerCall,
        handler: Handler,
        terms: Terms,
    ) -> None:
        self._call = call
        self._handler = handler
        self._terms = terms
        self._head_sent = False
        self._request_received = False
        self.message_sent = False
        self.ended = False
        self.metadata: Metadata | None = call.request.metadata

    @property
    def peer(self) -> Peer:
        """The other end of the connection."""
        return self._call.session.peer

    @property
    def path(self) -> str:
        """Which method is called: ``/package.Service/Method``."""
        return self._call.request.path

    @property
    def request(self) -> Request:
        """The call's head as it came."""
        return self._call.request

    @property
    def transport(self) -> ByteStream:
        """The connection's byte stream, for its extra attributes only."""
        return self._call.session.stream

    @property
    def user_agent(self) -> str | None:
        """Who calls, or None."""
        return self._call.request.user_agent

    @property
    def deadline(self) -> Deadline | None:
        """When the client will no longer wait, or None."""
        return None if self._call.deadline == math.inf else Deadline.at(self._call.deadline)

    async def recv_message(self) -> RecvT | None:
        """The next message of the client; None after the last one.

        Raises:
            GRPCError: What came is no sound message (INTERNAL), too large (RESOURCE_EXHAUSTED), or not the one message
                that this method takes (UNIMPLEMENTED). Let it pass: the call ends with that status.
        """
        if self._handler.cardinality.client_streaming:
            data = await self._call.receive_message()
        else:
            data = await self._receive_only()
        if data is None:
            return None
        message: RecvT = decode(self._terms.codec, data, self._handler.request_type)
        if self._terms.events.recv_message:
            message = (await self._terms.events.recv_message.tell(message=message)).message
        return message

    async def _receive_only(self) -> bytes | None:
        if self._request_received:
            await checkpoint()
            return None
        data = await self._call.receive_message()
        if data is None:
            raise GRPCError(Status.UNIMPLEMENTED, "the request has no message, where this method takes one")
        if not self._call.exhausted and await self._call.receive_message() is not None:
            raise GRPCError(Status.UNIMPLEMENTED, "the request has more than one message, where this method takes one")
        self._request_received = True
        return data

    def __aiter__(self) -> "ServerStream[RecvT, SendT]":
        return self

    async def __anext__(self) -> RecvT:
        # Not by way of `recv_message`: an idle stream waits here, and every coroutine that waits occupies memory.
        if self._handler.cardinality.client_streaming:
            data = self._call.receive_nowait()
            if data is None:
                data = await self._call.receive_message()
        else:
            data = await self._receive_only()
        if data is None:
            raise StopAsyncIteration
        message: RecvT = decode(self._terms.codec, data, self._handler.request_type)
        if self._terms.events.recv_message:
            message = (await self._terms.events.recv_message.tell(message=message)).message
        return message

    async def send_initial_metadata(self, *, metadata: MetadataLike | None = None) -> None:
        """Send the response's head; the first `send_message` does so by itself.

        Raises:
            ProtocolError: It was already sent.
            ValueError, TypeError: The metadata cannot be sent.
        """
        if self._head_sent:
            raise ProtocolError("initial metadata was already sent")
        await self._send_head(metadata, hold=False)

    async def announce(self) -> None:
        """For the dispatcher: tell the client that the call has arrived, as soon as its handler comes to wait.

        A handler that replies before, or ends the call, sends the head with that.
        """
        if self._terms.events.send_initial_metadata:  # Listeners may want to wait themselves.
            await self._send_head(None, hold=False)
        else:
            self._call.session.do_at_turn(self._announce)

    def _announce(self) -> None:
        if not self._head_sent and not self.ended and self._call.is_open:
            with suppress(GRPCError):  # The client takes no such head: the handler will hear of it.
                self._call.session.connection.send_response(self._call, Response(MultiDict(), self._call.encoding))
                self._head_sent = True

    async def _send_head(self, metadata: MetadataLike | None, *, hold: bool) -> None:
        sent = _multidict(metadata)
        if self._terms.events.send_initial_metadata:
            sent = (await self._terms.events.send_initial_metadata.tell(metadata=sent)).metadata
        await self._call.send_response(Response(sent, self._call.encoding), hold=hold)
        self._head_sent = True

    async def send_message(self, message: SendT) -> None:
        """Send one message; waits while the client takes fewer than we send.

        Raises:
            ProtocolError: This method answers with one message, which was already sent, or the call was ended.
            StreamTerminatedError: The client is gone.
        """
        if self.ended:
            raise ProtocolError("the call was already ended")
        if self.message_sent and not self._handler.cardinality.server_streaming:
            raise ProtocolError("this method answers with one message, which was already sent")
        if not self._head_sent:
            await self._send_head(None, hold=True)
        if self._terms.events.send_message:
            message = (await self._terms.events.send_message.tell(message=message)).message
        data = self._terms.codec.encode(message, self._handler.reply_type)
        if not self.message_sent:
            self.message_sent = True
            if self._call.stream_trace is not None:
                self._call.stream_trace.sent_first()
        # The only message of a call leaves with the status behind it, which makes it whole.
        hold = not self._handler.cardinality.server_streaming
        if not self._call.send_nowait(data, hold=hold):
            await self._call.send_message(data, hold=hold)

    async def send_trailing_metadata(
        self,
        *,
        status: Status = Status.OK,
        status_message: str | None = None,
        status_details: object = None,
        metadata: MetadataLike | None = None,
    ) -> None:
        """End the call; returning from the handler does so by itself.

        Args:
            status: How it ended.
            status_message: For people; any Unicode.
            status_details: The bytes of a ``google.rpc.Status``, or what the server's ``status_details_codec`` takes;
                without one, other details are left out.
            metadata: To send along.

        Raises:
            ProtocolError: The call was already ended, or is to end with OK without the one message it answers with.
            ValueError, TypeError: The metadata or the details cannot be sent.
        """
        if self.ended:
            raise ProtocolError("the call was already ended")
        if status is Status.OK and not self.message_sent and not self._handler.cardinality.server_streaming:
            raise ProtocolError("this method answers with one message, which was not sent")
        sent = _multidict(metadata)
        if self._terms.events.send_trailing_metadata:
            event = await self._terms.events.send_trailing_metadata.tell(
                metadata=sent, status=status, status_message=status_message, status_details=status_details
            )
            sent = event.metadata
        details = self._encode_details(status, status_message, status_details)
        trailers = Trailers(status, status_message, details, sent)
        self.ended = True
        await self._call.finish(trailers)

    def _encode_details(self, status: Status, message: str | None, details: object) -> bytes | None:
        if details is None or isinstance(details, bytes):
            return details
        if self._terms.details_codec is None:
            log.warning(
                "%s: the server has no status_details_codec, so the details are left out", self._call.request.path
            )
            return None
        return self._terms.details_codec.encode(status, message, details)

    @property
    def head_sent(self) -> bool:
        """Whether the response's head is on its way, so that what ends the call are no trailers alone."""
        return self._head_sent

    async def settle(self) -> None:
        """Wait until no more than ``max_unsent`` bytes of the messages sent wait to leave.

        Raises:
            StreamTerminatedError: The client is gone, or its window has not opened for ``window_timeout``.
        """
        await self._call.settle()

    def compress(self, encoding: str) -> None:
        """Send messages in this encoding, if the client reads it; to be said before the head is sent."""
        self._call.compress(encoding)

    def compress_next(self, *, wanted: bool) -> None:
        """Whether the messages sent from here on are compressed, whatever their sizes.

        Has no effect unless `compress` was called and the client reads that encoding.
        """
        self._call.compress_next(wanted=wanted)

    @property
    def received_compressed(self) -> bool:
        """Whether the message received last came compressed."""
        messages = self._call.messages
        return messages.inflated == messages.messages > 0

    def drain_connection(self) -> None:
        """Have the client make its next calls on another connection (GOAWAY); this call and its like go on."""
        self._call.session.drain()

    async def reset(self, error_code: int) -> None:
        """End the call by RST_STREAM behind the messages sent so far, with this code (RFC 9113 §7).

        Raises:
            ProtocolError: The call was already ended.
            StreamTerminatedError: The client is gone.
        """
        if self.ended:
            raise ProtocolError("the call was already ended")
        self.ended = True
        await self._call.finish_by_reset(error_code)

    async def cancel(self) -> None:
        """Reset the call: the client sees CANCELLED.

        Raises:
            ProtocolError: The call was already ended.
        """
        if self.ended:
            raise ProtocolError("the call was already ended")
        self.ended = True
        self._call.reset()
        await checkpoint()


def _multidict(metadata: MetadataLike | None) -> Metadata:
    return MultiDict(metadata or ())
