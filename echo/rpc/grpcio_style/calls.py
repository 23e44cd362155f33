"""The four kinds of calls, like ``grpc.aio``'s; `call` has what they share."""

from asyncio import InvalidStateError
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from typing import Any, NoReturn, TypeVar, cast

import grpc
from anyio.abc import TaskGroup
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.client_stream import ClientStream
from echo.rpc.grpcio_style.call import Call
from echo.rpc.sender import Messages, Sender
from echo.transport import open_background
from echo.wire import GRPCError

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")


class _Answered(Call[RequestT, ReplyT]):
    """A call with one reply, which awaiting it returns."""

    _reply: ReplyT

    def __await__(self) -> Generator[Any, None, ReplyT]:
        return self._wait().__await__()

    async def _wait(self) -> ReplyT:
        await self._until_over()
        self.raise_failure()
        return self._reply

    async def _receive(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        reply = await stream.recv_message()
        assert reply is not None  # Or the call has failed.
        self._reply = reply


class _Streaming(Call[RequestT, ReplyT], AsyncIterator[ReplyT]):
    """A call with many replies, which are read or iterated over."""

    async def read(self) -> Any:
        """The next reply; ``grpc.aio.EOF`` after the last.

        Raises:
            grpc.aio.AioRpcError: The call has failed. Replies that had arrived before are read first, unless it was
                cancelled here.
        """
        with self._ending_if_cancelled():
            try:
                await self._opened.wait()
                if self._failure is None and self._sent and not self._scope.cancel_called:
                    reply = await self._stream.recv_message()
                    if reply is not None:
                        return reply
                await self._over.wait()
            except GRPCError as error:
                if not self._stream.ended:  # The reply is invalid.
                    self._end(error)
                await self._over.wait()  # The call's interceptors may raise another error.
                self._raise_own()
                raise self._error(self._outcome or error) from error
        self.raise_failure()
        return grpc.aio.EOF

    @property
    def _sent(self) -> bool:
        return self._stream.peer is not None

    async def __anext__(self) -> ReplyT:
        # Not an async generator: on trio, each one that is left by ``break`` gives a ResourceWarning.
        reply: Any = await self.read()
        if reply is grpc.aio.EOF:
            raise StopAsyncIteration
        return cast("ReplyT", reply)

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "an event loop runs here: use 'async for', or run the code in a thread with anyio.to_thread.run_sync"
        )

    async def _receive(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        """Wait for the end; the reader takes the replies, also afterwards."""
        await stream.recv_trailing_metadata()


class _Writing(Call[RequestT, ReplyT]):
    """A call with many requests, from an iterable or written one by one."""

    def __init__(
        self,
        stream: ClientStream[RequestT, ReplyT],
        tasks: TaskGroup,
        deadline: float,
        requests: Messages[RequestT] | None,
    ) -> None:
        self._requests = requests
        self._sender: Sender[RequestT, ReplyT] | None = None
        self._done_writing = False
        super().__init__(stream, tasks, deadline)

    async def write(self, request: RequestT) -> None:
        """Send a request; waits while the server reads more slowly than we send. Cancelling it cancels the call.

        Raises:
            grpc.aio.AioRpcError: The call fails meanwhile.
            grpc.aio.UsageError: The requests come from an iterable.
            asyncio.InvalidStateError: The call is over, or `done_writing` was called.
        """
        self._refuse_with_iterable()
        if self._over.is_set():
            outcome = self._outcome
            raise InvalidStateError(f"the call is over, with {'OK' if outcome is None else outcome.status.name}")
        if self._done_writing:
            raise InvalidStateError("done_writing() was called")
        with self._ending_if_cancelled():
            await self._opened.wait()
            self.raise_failure()
            try:
                await self._stream.send_message(request)
            except (GRPCError, StreamTerminatedError) as error:
                await self._over.wait()
                self.raise_failure()
                raise InvalidStateError("the call is over") from error

    async def done_writing(self) -> None:
        """Half-close the call: no more requests follow. Does nothing if it is half-closed, or over.

        Cancelling it cancels the call.
        """
        self._refuse_with_iterable()
        if self._done_writing:
            return
        self._done_writing = True
        with self._ending_if_cancelled():
            await self._opened.wait()
            if not self._over.is_set():
                with suppress(GRPCError):  # Awaiting or reading the call raises it.
                    await self._stream.end()

    def _raise_own(self) -> None:
        if self._sender is not None:
            try:
                self._sender.raise_failure()
            except GRPCError as error:
                raise self._error(error) from error
        super()._raise_own()

    def _refuse_with_iterable(self) -> None:
        if self._requests is not None:
            raise grpc.aio.UsageError("the requests come from an iterable")

    async def _converse(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        await stream.send_request()
        self._opened.set()
        if self._requests is None:
            await self._receive(stream)
            return
        self._sender = sender = Sender(stream, self._requests)
        try:
            async with open_background() as tasks:
                tasks.start_soon(sender.run)
                await self._receive(stream)
                await sender.stop()
        except GRPCError:
            sender.raise_failure()  # The reason why the call was cancelled.
            raise


class _OneRequest(Call[RequestT, ReplyT]):
    """A call with one request."""

    def __init__(
        self, stream: ClientStream[RequestT, ReplyT], tasks: TaskGroup, deadline: float, request: RequestT
    ) -> None:
        self._request = request
        super().__init__(stream, tasks, deadline)

    async def _converse(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        with suppress(StreamTerminatedError):  # The server has answered already.
            await stream.send_message(self._request, end=True)
        self._opened.set()
        await self._receive(stream)


@grpc.aio.UnaryUnaryCall.register
class UnaryUnaryCall(_OneRequest[RequestT, ReplyT], _Answered[RequestT, ReplyT]):
    """One request, one reply."""


@grpc.aio.UnaryStreamCall.register
class UnaryStreamCall(_OneRequest[RequestT, ReplyT], _Streaming[RequestT, ReplyT]):
    """One request, many replies."""


@grpc.aio.StreamUnaryCall.register
class StreamUnaryCall(_Writing[RequestT, ReplyT], _Answered[RequestT, ReplyT]):
    """Many requests, one reply."""


@grpc.aio.StreamStreamCall.register
class StreamStreamCall(_Writing[RequestT, ReplyT], _Streaming[RequestT, ReplyT]):
    """Many requests, many replies."""
