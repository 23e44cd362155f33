"""Blocking stubs and servicers: connects threads to the event loop.

A stub that is used in another thread than its channel's event loop behaves as with ``grpc.insecure_channel``: it
returns a reply or an iterator of replies, and the thread waits meanwhile. So blocking code can keep its stubs
(betterproto2's ``SyncStub`` among them) and run in ``anyio.to_thread.run_sync``.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import grpc
from anyio import to_thread

from echo.rpc.grpcio_style.call import Call
from echo.rpc.thread_tasks import ChannelOverError, ThreadTasks

CLOSED: Final = "Channel is closed."  # grpcio's own words.

_END: Final = object()

T = TypeVar("T")


async def iterated(iterable: Iterable[Any], *, abandon: bool = False) -> AsyncGenerator[Any, None]:
    """Iterate in worker threads, so that the iterable may block.

    Args:
        iterable: The iterable.
        abandon: Whether a cancelled iteration abandons its thread instead of waiting for it.
    """
    items = iter(iterable)
    while (item := await to_thread.run_sync(next, items, _END, abandon_on_cancel=abandon)) is not _END:
        yield item


def reply(threads: ThreadTasks, begin: Callable[[], Any]) -> Any:
    """Make a call with one reply, and wait for it.

    Raises:
        grpc.aio.AioRpcError: The call has failed.
        grpc.aio.UsageError: The channel is closed.
    """

    async def called() -> Any:
        return await begin()

    with _saying_closed():
        return threads.run(called)


class Replies(Iterator[Any]):
    """A blocking call with many replies. Its other methods are those of `Call`, and block too.

    As with grpcio, a call that is dropped before its end is cancelled, so a loop may be left by ``break``.

    Raises:
        grpc.aio.AioRpcError: The call has failed.
        grpc.aio.UsageError: The channel is closed.
    """

    def __init__(self, threads: ThreadTasks, begin: Callable[[], Call[Any, Any]]) -> None:
        self._threads = threads
        with _saying_closed():
            self._call: Call[Any, Any] = threads.run(_called, begin)

    def __del__(self) -> None:
        call = self.__dict__.get("_call")  # There is none if it could not begin.
        if call is not None and not call.done():
            self._threads.loop.call_soon(call.cancel)

    def __next__(self) -> Any:
        try:
            message = self.read()
        except grpc.aio.UsageError:
            self._call.raise_failure()  # That the channel was closed is not news to the call.
            raise
        if message is grpc.aio.EOF:
            raise StopIteration
        return message

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._call, name)

        def run(*arguments: Any) -> Any:
            with _saying_closed():
                if inspect.iscoroutinefunction(method):
                    return self._threads.run(method, *arguments)
                return self._threads.run(_called, method, *arguments)

        return run


async def _called(function: Callable[..., T], *arguments: Any) -> T:
    return function(*arguments)


@contextmanager
def _saying_closed() -> Iterator[None]:
    try:
        yield
    except ChannelOverError as error:
        raise grpc.aio.UsageError(CLOSED) from error
