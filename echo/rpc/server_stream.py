"""The stream object that a handler receives: the interface of ``grpclib.server.Stream`` over our transport."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import Final, Generic, TypeVar

from anyio.lowlevel import checkpoint
from grpclib.exceptions import ProtocolError
from multidict import MultiDict

from echo.rpc.call_facts import CallFacts
from echo.rpc.codec import invalid
from echo.rpc.served_method import ServedMethod
from echo.transport import ServerCall
from echo.wire import GRPCError, Metadata, MetadataLike, Response, Status, Trailers

RecvT = TypeVar("RecvT")
SendT = TypeVar("SendT")

OK: Final = Trailers()


class ServerStream(CallFacts, AsyncIterator[RecvT], Generic[RecvT, SendT]):
    """One call, from the handler's side.

    A handler may receive in one task and send in another of its own nursery. When the client resets the call or
    vanishes, or the deadline passes, the handler is cancelled wherever it waits. The call ends with status OK when the
    handler returns, and with the status of a `GRPCError` it raises.
    """

    __slots__ = ("_metadata", "_method", "_request", "_request_received", "ended", "head_sent", "message_sent")

    def __init__(self, call: ServerCall, method: ServedMethod) -> None:
        self._call = call
        self._method = method
        self._request_received = False
        self._request: bytes | None = None  # The only message, while the client's half-close is awaited.
        self.head_sent: bool = False  # Until then, the call may end with Trailers-Only.
        self.message_sent: bool = False
        self.ended: bool = False
        self._metadata: Metadata | None = None
        self._trailing: Metadata | None = None

    @property
    def metadata(self) -> Metadata:
        """The request's metadata, to be changed at will."""
        if self._metadata is None:
            self._metadata = MultiDict(self._call.request.metadata)  # Requests may be shared.
        return self._metadata

    @metadata.setter
    def metadata(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def recv_message(self) -> RecvT | None:
        """Receive the client's next message; None after the last one.

        Raises:
            GRPCError: The message is invalid (INTERNAL) or too large (RESOURCE_EXHAUSTED), or the method takes one
                message and the client sent none or several (UNIMPLEMENTED). Let it propagate: the call ends with that
                status.
        """
        method = self._method
        if method.client_streaming:
            data = self._call.receive_nowait()
            if data is None:
                data = await self._call.receive_message()
        else:
            data = await self._receive_only()
        if data is None:
            return None
        try:
            message: RecvT = method.decode(data)
        except Exception as error:
            raise invalid(data, method.request_type, error) from error
        if method.events.recv_message:
            message = (await method.events.recv_message.dispatch(message=message)).message
        return message

    async def _receive_only(self) -> bytes | None:
        if self._request_received:
            await checkpoint()
            return None
        data = self._call.receive_nowait() if self._request is None else self._request
        if data is None and (data := await self._call.receive_message()) is None:
            raise GRPCError(Status.UNIMPLEMENTED, "the request has no message, but this method takes one")
        if not self._call.exhausted:
            self._request = data  # For the next receive, if this one is cancelled.
            if await self._call.receive_message() is not None:
                raise GRPCError(Status.UNIMPLEMENTED, "the request has several messages, but this method takes one")
        self._request, self._request_received = None, True
        return data

    async def __anext__(self) -> RecvT:
        # Does not call `recv_message`, and has few locals: idle streams wait here, and each coroutine takes memory.
        if self._method.client_streaming:
            call = self._call
            while (data := call.receive_nowait()) is None and (arrival := call.arrival()) is not None:
                await arrival
            if data is None:
                data = await call.receive_message()
        else:
            data = await self._receive_only()
        if data is None:
            raise StopAsyncIteration
        try:
            message: RecvT = self._method.decode(data)
        except Exception as error:
            raise invalid(data, self._method.request_type, error) from error
        if self._method.events.recv_message:
            message = (await self._method.events.recv_message.dispatch(message=message)).message
        return message

    async def send_initial_metadata(self, *, metadata: MetadataLike | None = None) -> None:
        """Send the response's head; the first `send_message` does so by itself.

        Raises:
            ProtocolError: The head was already sent.
            ValueError, TypeError: The metadata cannot be sent.
        """
        if self.head_sent:
            raise ProtocolError("initial metadata was already sent")
        await self._send_head(metadata, hold=False)

    async def announce(self) -> None:
        """For the dispatcher: send the response's head as soon as the handler waits.

        A handler that replies or ends the call before that sends the head itself.
        """
        if self._method.events.send_initial_metadata:  # A listener may need to wait.
            await self._send_head(None, hold=False)
        else:
            self._call.session.do_after_turn(self._send_head_unless_sent)

    def _send_head_unless_sent(self) -> None:
        if not self.head_sent and not self.ended and self._call.is_open:
            with suppress(GRPCError):  # The head is too large for the client: the handler gets the error later.
                self._put_head()
                self._call.session.flush_soon()

    def _put_head(self) -> None:
        """Send the response's head, with no metadata and to no listeners, together with what follows."""
        self._call.session.connection.send_response(self._call, Response(encoding=self._call.encoding))
        self.head_sent = True

    async def _send_head(self, metadata: MetadataLike | None, *, hold: bool) -> None:
        sent = MultiDict(metadata or ())
        if self._method.events.send_initial_metadata:
            sent = (await self._method.events.send_initial_metadata.dispatch(metadata=sent)).metadata
        await self._call.send_response(Response(sent, self._call.encoding), hold=hold)
        self.head_sent = True

    async def send_message(self, message: SendT) -> None:
        """Send one message; waits while the client reads more slowly than we send.

        Raises:
            ProtocolError: The method returns one message, which was already sent, or the call has ended.
            StreamTerminatedError: The client is gone.
        """
        if (rest := self.send(message)) is not None:
            await rest

    def send(self, message: SendT, told: bool = False) -> Awaitable[None] | None:
        """Send one message, without a coroutine where nothing has to be awaited.

        Args:
            message: The message.
            told: Whether the listeners were told of it.

        Returns:
            What to wait for if it could not be sent at once. It raises as `send_message`, and so does this method.
        """
        if self.ended:
            raise ProtocolError("the call was already ended")
        method, call = self._method, self._call
        if self.message_sent and not method.server_streaming:
            raise ProtocolError("this method answers with one message, which was already sent")
        if not self.head_sent:
            if method.events.send_initial_metadata or not call.is_open:
                return self._send_with_head(message)
            self._put_head()
        if not told and method.events.send_message:
            return self._tell_and_send(message)
        reply_type = method.reply_type
        data = method.encode(message) if type(message) is reply_type else method.codec.encode(message, reply_type)
        if not self.message_sent:
            self.message_sent = True
            if call.stream_trace is not None:
                call.stream_trace.sent_first()
        # A unary reply is held back and sent together with the trailers.
        hold = not method.server_streaming
        return None if call.send_nowait(data, hold) else call.send_message(data, hold=hold)

    async def _send_with_head(self, message: SendT) -> None:
        await self._send_head(None, hold=True)
        await self.send_message(message)

    async def _tell_and_send(self, message: SendT) -> None:
        message = (await self._method.events.send_message.dispatch(message=message)).message
        if (rest := self.send(message, told=True)) is not None:
            await rest

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
            status: The call's status.
            status_message: A readable message; any Unicode.
            status_details: The bytes of a ``google.rpc.Status``, or what the server's ``status_details_codec`` takes;
                without a codec, other details are dropped.
            metadata: Trailing metadata, in addition to `trailing_metadata`.

        Raises:
            ProtocolError: The call was already ended, or the status is OK but the method's one reply was not sent.
            ValueError, TypeError: The metadata or the details cannot be sent, or the status or its message is none.
        """
        if self.ended:
            raise ProtocolError("the call was already ended")
        if status is Status.OK and not self.message_sent and not self._method.server_streaming:
            raise ProtocolError("this method answers with one message, which was not sent")
        sent: Metadata = MultiDict(self._trailing or ())
        sent.extend(metadata or ())
        if self._method.events.send_trailing_metadata:
            event = await self._method.events.send_trailing_metadata.dispatch(
                metadata=sent, status=status, status_message=status_message, status_details=status_details
            )
            sent = event.metadata
        trailers = self._method.trailers(status, status_message, status_details, sent)
        self.ended = True
        try:
            await self._call.finish(trailers)
        except (ValueError, TypeError):  # The metadata cannot be sent, so the call can still be ended otherwise.
            self.ended = False
            raise

    def succeed(self) -> Awaitable[None] | None:
        """For the dispatcher: end the call with OK.

        Returns:
            What to wait for if not all could be sent at once. It raises as `send_trailing_metadata`.
        """
        method, call = self._method, self._call
        answered = self.message_sent or method.server_streaming
        if not answered or self._trailing or method.events.send_trailing_metadata or not call.is_open:
            return self.send_trailing_metadata()
        self.ended = True
        return call.end_now(OK)

    async def wait_until_sendable(self) -> None:
        """Wait until at most ``max_unsent`` bytes of this call's messages are queued.

        Raises:
            StreamTerminatedError: The client is gone, or its window has not opened for ``window_timeout``.
        """
        await self._call.wait_until_sendable()

    def compress(self, encoding: str) -> None:
        """Compress messages with this encoding if the client accepts it. Call before the head is sent."""
        self._call.compress(encoding)

    def compress_next(self, *, wanted: bool) -> None:
        """Choose whether further messages are compressed, whatever their size; has no effect without `compress`."""
        self._call.compress_next(wanted=wanted)

    def drain_connection(self) -> None:
        """Send GOAWAY, so that the client opens a new connection for later calls. Open calls continue."""
        self._call.session.drain()

    async def reset(self, error_code: int) -> None:
        """End the call with RST_STREAM and this code, after the messages sent so far (RFC 9113 §7).

        Raises:
            ProtocolError: The call was already ended.
            StreamTerminatedError: The client is gone.
        """
        self._end()
        await self._call.finish_by_reset(error_code)

    async def cancel(self) -> None:
        """Reset the call: the client sees CANCELLED.

        Raises:
            ProtocolError: The call was already ended.
        """
        self._end()
        self._call.reset()
        await checkpoint()

    def _end(self) -> None:
        if self.ended:
            raise ProtocolError("the call was already ended")
        self.ended = True
