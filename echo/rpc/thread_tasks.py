"""Runs what other threads ask of a channel, as tasks of the channel, which end with it."""

from collections.abc import Awaitable, Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from echo.rpc.event_loop import EventLoop
from echo.rpc.subchannel import Connecting

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["ChannelOverError", "ThreadTasks"]

T = TypeVar("T")


class ChannelOverError(Exception):
    """The block of the channel is over."""


class ThreadTasks:
    """Runs coroutine functions in the event loop for threads that wait for the results.

    ``anyio.from_thread.run`` would run them in tasks without an owner. When the event loop ends, such a task is
    cancelled in the middle or never starts. Then trio raises ``Cancelled`` in the thread, and with asyncio the thread
    waits forever.

    Args:
        loop: The channel's event loop.
        common: Has the nursery that runs the tasks.

    Attributes:
        loop: The event loop.
    """

    def __init__(self, loop: EventLoop, common: Connecting) -> None:
        self.loop: EventLoop = loop
        self._nursery = common.nursery_for(self._run)
        self._lock = Lock()
        self._due: set[Future[Any]] = set()  # The results of tasks that have not started.
        self._over = False

    def run(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run a coroutine function in the calling thread's context, and wait for the result.

        Args:
            function: Must end when the channel's calls do, without being cancelled.
            arguments: Its arguments.

        Raises:
            ChannelOverError: The block of the channel is over.
            RuntimeError: It is called in the event loop's thread, which would wait for itself.
        """
        if self.loop.here:
            raise RuntimeError("this blocks: call it in another thread than the channel's event loop")
        from concurrent.futures import Future  # noqa: PLC0415 - Most programs have no such threads.

        result: Future[T] = Future()
        with self._lock:
            if self._over:
                raise ChannelOverError
            self._due.add(result)
        if not self.loop.call_soon(self._start, result, function, arguments):
            raise ChannelOverError
        return result.result()

    def close(self) -> None:
        """Start no more tasks. Those that run end with the channel's calls. Call it in the event loop."""
        with self._lock:
            self._over = True
            due, self._due = self._due, set()
        for result in due:
            result.set_exception(ChannelOverError())

    def _start(self, result: "Future[T]", function: Callable[..., Awaitable[T]], arguments: tuple[object, ...]) -> None:
        with self._lock:
            if result not in self._due:
                return
            self._due.remove(result)
        self._nursery.start_soon(self._run, result, function, arguments)

    async def _run(
        self, result: "Future[T]", function: Callable[..., Awaitable[T]], arguments: tuple[object, ...]
    ) -> None:
        try:
            with anyio.CancelScope(shield=True):  # The call is cancelled, and tells the thread how it ended.
                result.set_result(await function(*arguments))
        except Exception as error:  # noqa: BLE001 - it is the thread's
            result.set_exception(error)
        finally:
            if not result.done():
                result.set_exception(ChannelOverError())
