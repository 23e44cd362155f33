"""Calls as ``grpc.aio`` has them: they begin when they are made, and are awaited, iterated or read afterwards.

Each has a task in its channel's nursery, which lasts until the call is over; closing the channel ends the call. Two
things differ from grpcio on purpose. A call that was cancelled raises ``AioRpcError`` with CANCELLED where it is
awaited, not ``asyncio.CancelledError``: only a cancel scope cancels a task. And a call that was forgotten goes on until
its deadline, or until its channel is closed, since no garbage collector decides when a call ends.
"""

import logging
import math
from asyncio import InvalidStateError
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

import anyio
import grpc
from anyio.abc import TaskGroup
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.client_stream import ClientStream
from echo.rpc.grpcio_style.conversion import to_code, to_error, to_metadata
from echo.rpc.sender import Messages, Sender
from echo.transport import open_background
from echo.wire import GRPCError, Status

log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

_CANCELLED: Final = "Locally cancelled by application!"  # grpcio's own words, which programs look for.


class Call(Generic[RequestT, ReplyT]):
    """What all four kinds of calls have in common.

    Args:
        stream: The call, not opened yet.
        tasks: Where its task runs.
        deadline: On the event loop's clock, infinity for none.
    """

    def __init__(self, stream: ClientStream[RequestT, ReplyT], tasks: TaskGroup, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline
        self._scope = anyio.CancelScope()
        self._opened = anyio.Event()
        self._over = anyio.Event()
        self._outcome: GRPCError | None = None  # What it failed with.
        self._failure: Exception | None = None  # What a function or an iterator of the caller's raised.
        self._callbacks: list[Callable[[Any], object]] = []
        tasks.start_soon(self._run)

    async def _run(self) -> None:
        try:
            with self._scope:
                async with self._stream as stream:
                    await self._converse(stream)
                self._finish(None)
        except GRPCError as error:
            self._finish(error)
        except Exception as error:  # noqa: BLE001 - raised where the call is awaited
            self._failure = error
            self._finish(GRPCError(Status.INTERNAL, f"{type(error).__name__} while sending"))
        finally:
            self._finish(GRPCError(Status.CANCELLED, _CANCELLED))  # Unless it is finished: the scope or the channel is.

    async def _converse(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        """Do what the call consists of, up to its end."""
        raise NotImplementedError

    async def _receive(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        """Do what the call's own task receives, up to its end."""
        raise NotImplementedError

    def _finish(self, outcome: GRPCError | None) -> None:
        if self._over.is_set():
            return
        self._outcome = outcome
        self._over.set()
        self._opened.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._tell(callback)

    def _tell(self, callback: Callable[[Any], object]) -> None:
        try:
            callback(self)
        except Exception:
            log.exception("a done callback failed")

    async def _until_over(self) -> None:
        """Wait for the end; being cancelled while waiting cancels the call."""
        try:
            await self._over.wait()
        except anyio.get_cancelled_exc_class():
            self.cancel()
            raise

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._outcome is not None:
            raise self._error(self._outcome)

    def _error(self, error: GRPCError) -> grpc.aio.AioRpcError:
        return to_error(error, self._stream.initial_metadata, self._stream.trailing_metadata)

    # What grpcio calls RpcContext and Call

    def cancel(self) -> bool:
        """Cancel the call; False if it is over."""
        if self._over.is_set():
            return False
        self._finish(GRPCError(Status.CANCELLED, _CANCELLED))
        self._scope.cancel()
        return True

    def cancelled(self) -> bool:
        """Whether it ended with CANCELLED."""
        return self._outcome is not None and self._outcome.status is Status.CANCELLED

    def done(self) -> bool:
        """Whether it is over."""
        return self._over.is_set()

    def time_remaining(self) -> float | None:
        """Seconds until its deadline, at least zero; None without one."""
        return None if self._deadline == math.inf else max(0.0, self._deadline - anyio.current_time())

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Have a function called with the call when it is over, or now if it is. What it raises is logged."""
        if self._over.is_set():
            self._tell(callback)
        else:
            self._callbacks.append(callback)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """What the response's head brought along; empty if there was none."""
        await self._opened.wait()
        if self._stream.initial_metadata is None and not self._over.is_set():
            with suppress(GRPCError):  # It ended with trailers alone.
                await self._stream.recv_initial_metadata()
        return to_metadata(self._stream.initial_metadata)

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """What the trailers brought along; waits for the end."""
        await self._over.wait()
        return to_metadata(self._stream.trailing_metadata)

    async def code(self) -> grpc.StatusCode:
        """The status; waits for the end."""
        await self._over.wait()
        return to_code(Status.OK if self._outcome is None else self._outcome.status)

    async def details(self) -> str:
        """The status message; waits for the end."""
        await self._over.wait()
        return "" if self._outcome is None else self._outcome.message or ""

    async def debug_error_string(self) -> str:
        """The error as a developer wants it; waits for the end."""
        await self._over.wait()
        return "" if self._outcome is None else repr(self._outcome)

    async def wait_for_connection(self) -> None:
        """Wait until the call is on a connection.

        Raises:
            grpc.aio.AioRpcError: It has failed before.
        """
        await self._opened.wait()
        self._raise_failure()


class _Answered(Call[RequestT, ReplyT]):
    """A call that has one reply: awaiting it gives that."""

    _reply: ReplyT

    def __await__(self) -> Generator[Any, None, ReplyT]:
        return self._wait().__await__()

    async def _wait(self) -> ReplyT:
        await self._until_over()
        self._raise_failure()
        return self._reply

    async def _receive(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        reply = await stream.recv_message()
        assert reply is not None  # Or the call has failed.
        self._reply = reply


class _Streaming(Call[RequestT, ReplyT]):
    """A call with many replies: read or iterated."""

    async def read(self) -> Any:
        """The next reply; ``grpc.aio.EOF`` after the last.

        Raises:
            grpc.aio.AioRpcError: The call has failed.
        """
        try:
            await self._opened.wait()
            if self._failure is None and self._sent:
                reply = await self._stream.recv_message()
                if reply is not None:
                    return reply
            await self._over.wait()
        except GRPCError as error:
            self._raise_own()
            raise self._error(error) from error
        except anyio.get_cancelled_exc_class():
            self.cancel()
            raise
        self._raise_failure()
        return grpc.aio.EOF

    @property
    def _sent(self) -> bool:
        return self._stream.peer is not None

    def _raise_own(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def __aiter__(self) -> AsyncIterator[ReplyT]:
        while (reply := await self.read()) is not grpc.aio.EOF:
            yield reply

    async def _receive(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        """The replies are the reader's; they stay to be read after the end."""
        await stream.recv_trailing_metadata()


class _Writing(Call[RequestT, ReplyT]):
    """A call with many requests: from an iterable, or written one by one."""

    def __init__(
        self,
        stream: ClientStream[RequestT, ReplyT],
        tasks: TaskGroup,
        deadline: float,
        requests: Messages[RequestT] | None,
    ) -> None:
        self._requests = requests
        self._done_writing = False
        super().__init__(stream, tasks, deadline)

    async def write(self, request: RequestT) -> None:
        """Send a request; waits while the server takes fewer than are sent.

        Raises:
            grpc.aio.AioRpcError: The call has failed.
            grpc.aio.UsageError: The requests come from an iterable.
            asyncio.InvalidStateError: The call is over, or `done_writing` was called.
        """
        await self._may_write()
        try:
            await self._stream.send_message(request)
        except (GRPCError, StreamTerminatedError) as error:
            await self._over.wait()
            self._raise_failure()
            raise InvalidStateError("the call is over") from error

    async def done_writing(self) -> None:
        """Half-close: there are no more requests."""
        await self._may_write()
        self._done_writing = True
        try:
            await self._stream.end()
        except GRPCError:
            await self._over.wait()
            self._raise_failure()

    async def _may_write(self) -> None:
        if self._requests is not None:
            raise grpc.aio.UsageError("the requests come from an iterable")
        if self._done_writing:
            raise InvalidStateError("done_writing() was called")
        await self._opened.wait()
        self._raise_failure()

    async def _converse(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        await stream.send_request()
        self._opened.set()
        if self._requests is None:
            await self._receive(stream)
            return
        sender = Sender(stream, self._requests)
        try:
            async with open_background() as tasks:
                tasks.start_soon(sender.run)
                await self._receive(stream)
                await sender.stop()
        except GRPCError:
            sender.raise_failure()  # The reason why the call was cancelled.
            raise


class _Asking(Call[RequestT, ReplyT]):
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


class UnaryUnaryCall(_Asking[RequestT, ReplyT], _Answered[RequestT, ReplyT]):
    """One request, one reply."""


class UnaryStreamCall(_Asking[RequestT, ReplyT], _Streaming[RequestT, ReplyT]):
    """One request, many replies."""


class StreamUnaryCall(_Writing[RequestT, ReplyT], _Answered[RequestT, ReplyT]):
    """Many requests, one reply."""


class StreamStreamCall(_Writing[RequestT, ReplyT], _Streaming[RequestT, ReplyT]):
    """Many requests, many replies."""
