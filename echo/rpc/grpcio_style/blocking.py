"""Blocking stubs and servicers: connects threads to the event loop.

A stub that is used in another thread than its channel's event loop behaves as with ``grpc.insecure_channel``: it
returns a reply or an iterator of replies, and the thread waits meanwhile. So blocking code can keep its stubs
(betterproto2's ``SyncStub`` among them) and run in ``anyio.to_thread.run_sync``.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import grpc
from anyio import from_thread, to_thread

from echo.rpc.event_loop import EventLoop
from echo.rpc.grpcio_style.call import Call

_END: Final = object()


async def iterated(iterable: Iterable[Any], *, abandon: bool = False) -> AsyncGenerator[Any, None]:
    """Iterate in worker threads, so that the iterable may block.

    Args:
        iterable: The iterable.
        abandon: Whether a cancelled iteration abandons its thread instead of waiting for it.
    """
    items = iter(iterable)
    while (item := await to_thread.run_sync(next, items, _END, abandon_on_cancel=abandon)) is not _END:
        yield item


def reply(loop: EventLoop, begin: Callable[[], Any]) -> Any:
    """Make a call with one reply, and wait for it.

    Raises:
        grpc.aio.AioRpcError: The call has failed.
    """

    async def called() -> Any:
        return await begin()

    return from_thread.run(called, token=loop.token)


class Replies(Iterator[Any]):
    """A blocking call with many replies. Its other methods are those of `Call`, and block too.

    As with grpcio, a call that is dropped before its end is cancelled, so a loop may be left by ``break``.

    Raises:
        grpc.aio.AioRpcError: The call has failed.
    """

    def __init__(self, loop: EventLoop, begin: Callable[[], Call[Any, Any]]) -> None:
        self._loop = loop
        self._call = from_thread.run_sync(begin, token=loop.token)

    def __del__(self) -> None:
        call = self.__dict__.get("_call")  # There is none if it could not begin.
        if call is not None and not call.done():
            self._loop.call_soon(call.cancel)

    def __next__(self) -> Any:
        message = self.read()
        if message is grpc.aio.EOF:
            raise StopIteration
        return message

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._call, name)
        run = from_thread.run if inspect.iscoroutinefunction(method) else from_thread.run_sync
        return partial(run, method, token=self._loop.token)
