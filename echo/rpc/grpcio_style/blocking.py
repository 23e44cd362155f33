"""Between threads and the event loop: there, stubs and servicers generated for grpcio block.

A stub in another thread than its channel's event loop behaves as with ``grpc.insecure_channel``: a reply is returned,
replies are iterated, and the thread waits meanwhile. So blocking code keeps its stubs (betterproto2's
``SyncStub`` among them) and is run by ``anyio.to_thread.run_sync``.
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
    """The items, each produced in a worker thread, so that it may block.

    Args:
        iterable: Produces them.
        abandon: Whether being cancelled leaves the thread alone, rather than wait until it has produced one.
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
    """A call with many replies, which are waited for. Its other methods are `Call`'s, and wait, too.

    Raises:
        grpc.aio.AioRpcError: The call has failed.
    """

    def __init__(self, loop: EventLoop, begin: Callable[[], Call[Any, Any]]) -> None:
        self._loop = loop
        self._call = from_thread.run_sync(begin, token=loop.token)

    def __next__(self) -> Any:
        message = self.read()
        if message is grpc.aio.EOF:
            raise StopIteration
        return message

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._call, name)
        run = from_thread.run if inspect.iscoroutinefunction(method) else from_thread.run_sync
        return partial(run, method, token=self._loop.token)
