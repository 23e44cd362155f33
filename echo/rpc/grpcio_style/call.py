"""Calls like ``grpc.aio``'s: they begin when they are created, and are awaited, iterated over or read afterwards.

Each has a task in its channel's nursery, which lasts until the call is over; closing the channel ends the call. Two
things differ from grpcio on purpose. Awaiting a cancelled call raises ``AioRpcError`` with CANCELLED, not
``asyncio.CancelledError``: only a cancel scope cancels a task. And a forgotten call continues until its deadline, or
until its channel is closed: garbage collection does not end calls.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Generic, TypeVar

import anyio
import grpc
from anyio.abc import TaskGroup

from echo.rpc.client_stream import ClientStream
from echo.rpc.foreign_cancellation import is_foreign
from echo.rpc.grpcio_style.conversion import call_back, to_code, to_metadata
from echo.rpc.subchannel import Connecting
from echo.wire import GRPCError, Status

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

_CANCELLED: Final = "Locally cancelled by application!"  # grpcio's own words, which programs look for.


class Call(ABC, Generic[RequestT, ReplyT]):
    """What all four kinds of calls share.

    Args:
        stream: The call, not opened yet.
        tasks: Runs its task; from `tasks_for_calls`.
        deadline: On the event loop's clock; infinity for none.
    """

    def __init__(self, stream: ClientStream[RequestT, ReplyT], tasks: TaskGroup, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline
        self._scope = anyio.CancelScope()
        self._opened = anyio.Event()
        self._over = anyio.Event()
        self._outcome: GRPCError | None = None  # The call's error, if it failed.
        self._failure: Exception | None = None  # An exception from the caller's own function or iterator.
        self._callbacks: list[Callable[[Any], object]] = []
        tasks.start_soon(self._run)

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._carry_out()
                self._finish(None)
        except GRPCError as error:
            self._finish(error)
        except Exception as error:  # noqa: BLE001 - raised where the call is awaited
            self._failure = error
            self._finish(GRPCError(Status.INTERNAL, f"{type(error).__name__} while sending"))
        except BaseException as error:
            if not is_foreign(error):
                raise
        finally:
            self._finish(GRPCError(Status.CANCELLED, _CANCELLED))  # Unless it has finished before.

    async def _carry_out(self) -> None:
        failure: Exception | None = GRPCError(Status.CANCELLED, "an interceptor cancelled the call")
        async with self._stream as stream:
            try:
                await self._converse(stream)
                failure = None
            except Exception as error:
                failure = error
                raise
        if failure is not None:  # An interceptor has suppressed it, but has no reply to give in its place.
            raise failure

    @abstractmethod
    async def _converse(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        """Carry out the call to its end."""

    @abstractmethod
    async def _receive(self, stream: ClientStream[RequestT, ReplyT]) -> None:
        """Receive what the call's own task must, to its end."""

    def _finish(self, outcome: GRPCError | None) -> None:
        if self._over.is_set():
            return
        self._outcome = outcome
        self._over.set()
        self._opened.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            call_back(callback, self)

    def _end(self, outcome: GRPCError) -> None:
        """End the call here, with this error."""
        self._finish(outcome)
        self._scope.cancel()

    async def _until_over(self) -> None:
        """Wait for the end; being cancelled while waiting cancels the call."""
        with self._ending_if_cancelled():
            await self._over.wait()

    @contextmanager
    def _ending_if_cancelled(self) -> Iterator[None]:
        """Cancel the call if its user is cancelled in this block, as in grpcio."""
        try:
            yield
        except anyio.get_cancelled_exc_class():
            if not self._stream.ended:  # Otherwise that is how it ends, even if this is the iterable of its requests.
                self.cancel()
            raise

    def _raise_own(self) -> None:
        """Raise the exception from the caller's own function or iterator, if that is why the call has failed."""
        if self._failure is not None:
            raise self._failure

    def raise_failure(self) -> None:
        """Raise the call's error, if it has failed."""
        self._raise_own()
        if self._outcome is not None:
            raise self._error(self._outcome)

    def _error(self, error: GRPCError) -> grpc.aio.AioRpcError:
        initial, trailing = to_metadata(self._stream.initial_metadata), self._trailing_metadata()
        return grpc.aio.AioRpcError(to_code(error.status), initial, trailing, error.message or "", repr(error))

    def _trailing_metadata(self) -> grpc.aio.Metadata:
        return to_metadata(self._stream.trailing_metadata, self._stream.status_details)

    # The methods of grpcio's RpcContext and Call

    def cancel(self) -> bool:
        """Cancel the call; False if it is over."""
        if self._over.is_set():
            return False
        self._end(GRPCError(Status.CANCELLED, _CANCELLED))
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
        """Call the function with this call when it is over, or now if it is. What it raises is logged."""
        if self._over.is_set():
            call_back(callback, self)
        else:
            self._callbacks.append(callback)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """Wait for the metadata of the response's head; empty if there was no head."""
        await self._opened.wait()
        if self._stream.initial_metadata is None and not self._over.is_set():
            with suppress(GRPCError):  # It ended with trailers alone.
                await self._stream.recv_initial_metadata()
        return to_metadata(self._stream.initial_metadata)

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """Wait for the end, and return the metadata of the trailers."""
        await self._over.wait()
        return self._trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        """The status; waits for the end."""
        await self._over.wait()
        return to_code(Status.OK if self._outcome is None else self._outcome.status)

    async def details(self) -> str:
        """The status message; waits for the end."""
        await self._over.wait()
        return "" if self._outcome is None else self._outcome.message or ""

    async def debug_error_string(self) -> str:
        """The error as text for developers; waits for the end."""
        await self._over.wait()
        return "" if self._outcome is None else repr(self._outcome)

    async def wait_for_connection(self) -> None:
        """Wait until the call is on a connection.

        Raises:
            grpc.aio.AioRpcError: It failed first.
        """
        await self._opened.wait()
        self.raise_failure()


def tasks_for_calls(common: Connecting) -> TaskGroup:
    """The nursery in which a channel's calls run."""
    return common.nursery_for(Call._run)
