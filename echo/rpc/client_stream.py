"""The stream object that a caller uses: the interface of ``grpclib.client.Stream`` over our transport.

Two things differ from grpclib on purpose. A failed call raises `GRPCError` wherever its caller waits, even where
grpclib raises ``StreamTerminatedError`` (a reset, a lost connection) or ``asyncio.TimeoutError`` (the deadline). And
leaving the block early is not an error: it cancels the call.
"""

from collections.abc import AsyncIterator
from typing import Final, Generic, TypeVar

from anyio.lowlevel import checkpoint
from grpclib.exceptions import ProtocolError, StreamTerminatedError
from multidict import MultiDict

from echo.rpc.call_block import CallBlock
from echo.rpc.codec import decode
from echo.rpc.method import Method
from echo.transport import ClientCall
from echo.wire import GRPCError, Metadata, Status, Trailers

CANCELLED: Final = "the call was cancelled by its caller"

ONE: Final = "where this method has one"

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")


class ClientStream(CallBlock, AsyncIterator[RecvT], Generic[SendT, RecvT]):
    """One call, from the caller's side; made by `Channel.request` and used as ``async with ... as stream``.

    One task may send while another receives. Leaving the block ends the call. If the server's status has arrived, it is
    raised as `GRPCError` unless it is OK. If the block is left early, by an exception or by cancellation, the call is
    reset with RST_STREAM CANCEL. If it is left otherwise once all messages were sent, but before the only message of
    the response was received, it waits for that: the status matters. `cancel` the call to give it up.

    A call that no server has processed is retried (`echo.rpc.retry`), and others as the channel's service config says.

    Attributes:
        path: The method called: ``/package.Service/Method``.
        metadata: The request's metadata; may be changed until the request is sent.
        peer: The other end of the connection, once the request was sent.
        initial_metadata: From the head of the response, once received.
        trailing_metadata: From the trailers, once received.
        status_details: From the trailers, as bytes; None if there were none, or before the end.
    """

    def __init__(self, method: Method, metadata: Metadata | None, deadline: float) -> None:
        super().__init__(method, metadata, deadline)
        self._answered: ClientCall | None = None  # The attempt whose response this is, once its head was received.
        self._initial_metadata: Metadata | None = None
        self._only: bytes | None = None  # The only message of the response, while the call's end is awaited.
        self._next_error: GRPCError | None = None  # Raised by the next receive.

    @property
    def initial_metadata(self) -> Metadata | None:
        """The metadata in the head of the response, once received."""
        if self._initial_metadata is not None and not self._initial_metadata:
            self._initial_metadata = MultiDict()
        return self._initial_metadata

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
        opened = self._open()
        call = opened if isinstance(opened, ClientCall) else await opened
        if end:
            # In a separate DATA frame, as gRPC over HTTP/2, "Requests" requires; some servers wait for that.
            await self.end()
        else:
            call.current.session.flush_soon()

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
            opened = self._open()
            call = opened if isinstance(opened, ClientCall) else await opened
        if self._events.send_message:
            message = (await self._events.send_message.dispatch(message=message)).message
        method = self._method
        exact = type(message) is method.request_type
        data = method.encode(message) if exact else method.codec.encode(message, method.request_type)
        if len(data) > method.max_request:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED, f"the message has {len(data)} bytes, more than the method's limit"
            )
        try:
            last = end or method.sends_one
            if not call.send_nowait(data, end=last):
                await self._retried().send_message(data, end=last)
            if last:
                self._note_half_close()
        except StreamTerminatedError:
            await self._report(self._sent().outcome)
            raise

    async def end(self) -> None:
        """Half-close the call: no more messages follow. Opens it if there were none, as `send_request` does.

        Raises:
            GRPCError: The call has failed.
            ProtocolError: It was already half-closed, or this method takes one message, which was not sent.
        """
        if self._half_closed:
            if self._method.sends_one:
                return  # The one message was sent with END_STREAM.
            raise ProtocolError("the call was already half-closed")
        if self._method.sends_one:
            raise ProtocolError("this method takes one message, which was not sent")
        if self._call is None:
            await self.send_request()
        call = self._sent()
        self._note_half_close()
        try:
            if not call.half_close_nowait():
                await self._retried().half_close()
        except StreamTerminatedError:
            await self._report(self._sent().outcome)  # If it ended with OK, there is nothing left to do.
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
        call = self._sent()
        if self._trace is not None:
            self._trace.cancelled(CANCELLED)
        call.cancel(Trailers(Status.CANCELLED, CANCELLED))
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
        if self._answered is None:
            await self._receive_head()

    async def _receive_head(self) -> ClientCall:
        call = self._sent()
        response = await call.receive_response()
        if response is None:  # The call has failed, unless it can be sent again.
            call = self._retried()
            response = await call.receive_response()
        if self._answered is None:  # Otherwise another task has waited for it as well.
            self._answered = call.current
            if self._trace is not None and response is not None:
                self._trace.head_received()
            self._initial_metadata = MultiDict() if response is None else response.metadata
            if listeners := self._events.recv_initial_metadata:
                event = await listeners.dispatch(metadata=self._initial_metadata or MultiDict())
                self._initial_metadata = event.metadata
        if response is None:
            await self._report(self._sent().outcome)
        return self._answered

    async def recv_message(self) -> RecvT | None:
        """Wait for the server's next message; None once it has ended the call with OK.

        For methods that return one message, the call has ended with OK when it is returned.

        Raises:
            GRPCError: The call failed: by the server's status, a lost connection or the deadline.
            ProtocolError: The request was not sent.
        """
        method, current = self._method, self._answered or await self._receive_head()
        if self._only_received:
            await checkpoint()
            return None
        data = current.receive_nowait() if self._only is None else self._only
        if data is None:
            data = await current.receive_message()
        if method.receives_one:
            if data is not None and not current.exhausted:
                self._only = data  # For the next receive, if this one is cancelled.
                if await current.receive_message() is not None:
                    raise GRPCError(Status.UNIMPLEMENTED, f"the response has more than one message, {ONE}")
            await self._report(self._sent().outcome)
            if data is None:
                raise GRPCError(Status.UNIMPLEMENTED, f"the response has no message, {ONE}")
            self._only, self._only_received = None, True
        elif data is None:
            await self._report(self._sent().outcome)
            return None
        message: RecvT = decode(method.decode, data, method.reply_type)
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
        messages, receive, method = [first], self._sent().current.receive_nowait, self._method
        try:
            while not self._events.recv_message and (data := receive()) is not None:
                messages.append(decode(method.decode, data, method.reply_type))
        except GRPCError as error:
            self._next_error = error
        return messages

    async def recv_trailing_metadata(self) -> None:
        """Wait for the end of the call; afterwards `trailing_metadata` is set.

        Raises:
            GRPCError: The call ended with a status other than OK.
            ProtocolError: The request was not sent.
        """
        await self._report(await self._retried().receive_trailers())

    def __aiter__(self) -> "ClientStream[SendT, RecvT]":
        return self

    async def __anext__(self) -> RecvT:
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message
