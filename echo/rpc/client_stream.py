"""The stream object that a caller uses: the interface of ``grpclib.client.Stream`` over our transport.

Two things differ from grpclib on purpose. A failed call raises `GRPCError` wherever its caller waits, even where
grpclib raises ``StreamTerminatedError`` (a reset, a lost connection) or ``asyncio.TimeoutError`` (the deadline). And
leaving the block early is not an error: it cancels the call.
"""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Generic, TypeVar

from anyio.lowlevel import checkpoint
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.exceptions import ProtocolError, StreamTerminatedError
from multidict import MultiDict

from echo.rpc.codec import decode, decode_details
from echo.rpc.method import Method
from echo.rpc.opening import open_call
from echo.rpc.retry import RepeatableCall
from echo.rpc.tracing import MadeCallTrace
from echo.transport import Peer
from echo.wire import GRPCError, Metadata, Status, Trailers

CANCELLED: Final = "the call was cancelled by its caller"
LEFT: Final = "the caller left the call before its end"

ONE: Final = "where this method has one"

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")


class ClientStream(AsyncIterator[RecvT], Generic[SendT, RecvT]):
    """One call, from the caller's side; made by `Channel.request` and used as ``async with ... as stream``.

    One task may send while another receives. Leaving the block ends the call. If the server's status has arrived, it is
    raised as `GRPCError` unless it is OK. If the block is left early, by an exception or by cancellation, the call is
    reset with RST_STREAM CANCEL. A call that no server has processed is retried (`echo.rpc.retry`), and others as the
    channel's service config says.

    Attributes:
        initial_metadata: From the response's head, once received.
        trailing_metadata: From the trailers, once received.
    """

    initial_metadata: Metadata | None = None
    trailing_metadata: Metadata | None = None

    def __init__(
        self,
        method: Method,
        metadata: Metadata | None,
        deadline: float,
        send_type: type[SendT],
        recv_type: type[RecvT],
        codec: CodecBase,
        details_codec: StatusDetailsCodecBase | None,
    ) -> None:
        self._method = method
        self._metadata = metadata
        self._deadline = deadline
        self._send_type = send_type
        self._recv_type = recv_type
        self._codec = codec
        self._details_codec = details_codec
        self._events = method.channel.events
        self._call: RepeatableCall | None = None
        self._trace: MadeCallTrace | None = None
        self._half_closed = False
        self._only_received = False
        self._head_received = False
        self._next_error: GRPCError | None = None  # Raised by the next receive.
        self._reported = False  # Whether the caller knows how the call ended.
        self._contexts: AsyncExitStack | None = None  # The interceptors' contexts.

    @property
    def path(self) -> str:
        """The method called: ``/package.Service/Method``."""
        return self._method.path

    @property
    def metadata(self) -> Metadata:
        """The request's metadata; may be changed until the request is sent."""
        if self._metadata is None:
            self._metadata = MultiDict()
        return self._metadata

    @property
    def peer(self) -> Peer | None:
        """The other end of the connection, once the request was sent."""
        return None if self._call is None else self._call.peer

    async def __aenter__(self) -> "ClientStream[SendT, RecvT]":
        interceptors = self._method.channel.interceptors
        if interceptors:
            async with AsyncExitStack() as contexts:
                for interceptor in interceptors:
                    await contexts.enter_async_context(interceptor(self))
                self._contexts = contexts.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if self._contexts is None:
            if exc is None and self._reported:
                self._close()
            else:
                await self._leave(exc)
            return None
        try:
            await self._leave(exc)
        except BaseException as error:
            if not await self._contexts.__aexit__(type(error), error, error.__traceback__):
                raise
            return True
        return await self._contexts.__aexit__(exc_type, exc, traceback)

    async def _leave(self, exc: BaseException | None) -> None:
        """End the call when its block is left."""
        call, trace = self._call, self._trace
        if call is None:
            if trace is not None:
                how = exc if isinstance(exc, GRPCError) else GRPCError(Status.CANCELLED, LEFT)
                trace.over(how.status, how.message, 0, 0)
            return
        try:
            if exc is None:
                if self._half_closed and not self._only_received and self._method.receives_one:
                    # The status matters even if the caller did not receive the message; receiving it brings the status.
                    await call.receive_response()
                    while await call.current.receive_message() is not None:
                        pass
                if call.trailers is not None and not self._reported:
                    await self._report(call.trailers)
            elif isinstance(exc, StreamTerminatedError) and call.trailers is not None and not self._reported:
                # The server ended the call while we were sending: its status says more.
                await self._report(call.trailers)
        finally:
            self._close()

    def _close(self) -> None:
        """Reset the call if it is not over, and report its end to the trace and the record."""
        call, trace = self._sent(), self._trace
        if call.trailers is None:
            # Otherwise a task that waits for the call would wait for ever.
            if trace is not None:
                trace.cancelled(LEFT)
            call.end(Trailers(Status.CANCELLED, LEFT))
        else:
            call.reset()
        if trace is not None:
            ended, current = call.trailers or Trailers(Status.CANCELLED, LEFT), call.current
            trace.over(ended.status, ended.message, current.unsent.messages, current.messages.messages)
        if call.record is not None:
            assert call.trailers is not None  # It has ended, if only just now.
            call.record.over(call.trailers.status, call.current.session.backend.now())

    # Sending

    async def send_request(self, *, end: bool = False) -> None:
        """Open the call: connects if necessary, and waits while the server allows no more calls.

        The first `send_message` does this by itself.

        Args:
            end: Half-close the call: it sends no messages.

        Raises:
            GRPCError: UNAVAILABLE if the server cannot be reached; DEADLINE_EXCEEDED.
            ProtocolError: It was already sent, or this method needs a message.
            ValueError, TypeError: The metadata cannot be sent.
        """
        if self._call is not None:
            raise ProtocolError("the request was already sent")
        if end and self._method.sends_one:
            raise ProtocolError("this method takes one message, which was not sent")
        call = self._call = await self._opening()
        if end:
            # In a separate DATA frame, as gRPC over HTTP/2, "Requests" requires; some servers wait for that.
            await self.end()
        else:
            call.current.session.flush_soon()

    def _opening(self) -> Awaitable[RepeatableCall]:
        """An awaitable that opens the call; its head is sent together with what follows."""
        method = self._method
        tracing = method.channel.tracing
        if tracing is not None:
            streaming = not (method.sends_one and method.receives_one)
            self._trace = tracing.begin(method.path, method.channel.target, self.metadata, streaming=streaming)
        return open_call(method, self._metadata, self._deadline)

    async def send_message(self, message: SendT, *, end: bool = False) -> None:
        """Send one message; waits while the server reads more slowly than we send.

        Args:
            message: A message of the call's request type.
            end: Whether it is the last one; implied for methods that take one message.

        Raises:
            GRPCError: The call has failed.
            StreamTerminatedError: The server has ended the call with OK before we did.
            ProtocolError: The call was already half-closed.
        """
        if self._half_closed:
            raise ProtocolError("the call was already half-closed")
        call = self._call
        if call is None:
            call = self._call = await self._opening()
        if self._events.send_message:
            message = (await self._events.send_message.dispatch(message=message)).message
        data = self._codec.encode(message, self._send_type)
        if len(data) > self._method.max_request:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED, f"the message has {len(data)} bytes, more than the method's limit"
            )
        try:
            last = end or self._method.sends_one
            if not call.send_nowait(data, end=last):
                await call.send_message(data, end=last)
            if last:
                self._note_half_close()
        except StreamTerminatedError:
            await self._raise_if_failed()
            raise

    async def end(self) -> None:
        """Half-close the call: no more messages follow.

        Raises:
            GRPCError: The call has failed.
            ProtocolError: The request was not sent, or this method takes one message, which was not sent.
        """
        if self._call is None:
            raise ProtocolError("the request was not sent yet")
        if self._half_closed:
            if self._method.sends_one:
                return  # The one message was sent with END_STREAM.
            raise ProtocolError("the call was already half-closed")
        if self._method.sends_one:
            raise ProtocolError("this method takes one message, which was not sent")
        self._note_half_close()
        try:
            await self._call.half_close()
        except StreamTerminatedError:
            await self._raise_if_failed()  # If it ended with OK, there is nothing left to do.
        await checkpoint()

    def _note_half_close(self) -> None:
        self._half_closed = True
        if self._trace is not None:
            self._trace.half_closed()

    async def cancel(self) -> None:
        """Reset the call: the server's handler is cancelled.

        Raises:
            ProtocolError: The request was not sent.
        """
        if self._call is None:
            raise ProtocolError("the request was not sent yet")
        if self._trace is not None:
            self._trace.cancelled(CANCELLED)
        self._call.end(Trailers(Status.CANCELLED, CANCELLED))
        self._reported = True
        await checkpoint()

    # Receiving

    async def recv_initial_metadata(self) -> None:
        """Wait for the head of the response; afterwards `initial_metadata` is set.

        It may be awaited while another task waits in `recv_message`, and cancelling it changes nothing. So a caller can
        find out, within a timeout of its own, whether the call has reached the server.

        Raises:
            GRPCError: The call failed first.
            ProtocolError: The request was not sent.
        """
        call = self._sent()
        if self._head_received:
            return
        response = await call.receive_response()
        self._head_received = True
        if self._trace is not None and response is not None:
            self._trace.head_received()
        received: Metadata = MultiDict() if response is None else response.metadata
        if self._events.recv_initial_metadata:
            received = (await self._events.recv_initial_metadata.dispatch(metadata=received)).metadata
        self.initial_metadata = received
        if response is None:
            await self._raise_if_failed()

    async def recv_message(self) -> RecvT | None:
        """Wait for the server's next message; None once it has ended the call with OK.

        For methods that return one message, the call has ended with OK when it is returned.

        Raises:
            GRPCError: The call failed: by the server's status, a lost connection or the deadline.
            ProtocolError: The request was not sent.
        """
        call = self._sent()
        if not self._head_received:
            await self.recv_initial_metadata()
        if self._only_received:
            await checkpoint()
            return None
        current = call.current
        data = current.receive_nowait()
        if data is None:
            data = await current.receive_message()
        if self._method.receives_one:
            if data is not None and not current.exhausted and await current.receive_message() is not None:
                raise GRPCError(Status.UNIMPLEMENTED, f"the response has more than one message, {ONE}")
            await self._raise_if_failed()
            if data is None:
                raise GRPCError(Status.UNIMPLEMENTED, f"the response has no message, {ONE}")
            self._only_received = True
        elif data is None:
            await self._raise_if_failed()
            return None
        message = decode(self._codec, data, self._recv_type)
        if self._events.recv_message:
            message = (await self._events.recv_message.dispatch(message=message)).message
        return message

    async def recv_messages(self) -> list[RecvT]:
        """Wait for a message, and return it with all that have arrived; empty at the end. For streams of responses.

        Raises:
            GRPCError: See `recv_message`. An error after valid messages is raised by the next receive.
            ProtocolError: The request was not sent.
        """
        if self._next_error is not None:
            await checkpoint()
            raise self._next_error
        first = await self.recv_message()
        if first is None:
            return []
        messages, receive = [first], self._sent().current.receive_nowait
        try:
            while not self._events.recv_message and (data := receive()) is not None:
                messages.append(decode(self._codec, data, self._recv_type))
        except GRPCError as error:
            self._next_error = error
        return messages

    async def recv_trailing_metadata(self) -> None:
        """Wait for the end of the call; afterwards `trailing_metadata` is set.

        Raises:
            GRPCError: The call ended with a status other than OK.
            ProtocolError: The request was not sent.
        """
        await self._report(await self._sent().receive_trailers())

    def __aiter__(self) -> "ClientStream[SendT, RecvT]":
        return self

    async def __anext__(self) -> RecvT:
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message

    def _sent(self) -> RepeatableCall:
        if self._call is None:
            raise ProtocolError("the request was not sent yet")
        return self._call

    async def _raise_if_failed(self) -> None:
        """Report how the call ended, if that is known."""
        trailers = self._sent().trailers
        if trailers is not None:
            await self._report(trailers)

    async def _report(self, trailers: Trailers) -> None:
        """Set the trailing metadata and raise unless the call ended with OK."""
        details = None if trailers.details is None else decode_details(self._details_codec, trailers)
        if not self._reported:
            self._reported = True
            received = trailers.metadata
            if self._events.recv_trailing_metadata:
                event = await self._events.recv_trailing_metadata.dispatch(
                    metadata=received,
                    status=trailers.status,
                    status_message=trailers.message,
                    status_details=details,
                )
                received = event.metadata
            self.trailing_metadata = received
        if trailers.status is not Status.OK:
            raise GRPCError(trailers.status, trailers.message, details)
