"""The threads that use a blocking method's call: the worker thread that runs the method, and those that it starts.

A method may read requests in a thread of its own while it sends replies, as grpcio's examples do. Cancelling the call
does not reach such a thread by itself, and the method may be waiting for it.
"""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
from anyio import from_thread

from echo.rpc.event_loop import EventLoop

T = TypeVar("T")


class CallOverError(Exception):
    """The call has ended while a thread was using it."""


class CallThreads:
    """Runs a call's coroutine functions for its threads, until `end` is called."""

    def __init__(self) -> None:
        self._loop = EventLoop()
        self._waiting: set[anyio.CancelScope] = set()
        self._over = False

    def end(self) -> None:
        """The call is over: let go of all threads but the method's."""
        self._over = True
        for scope in self._waiting:
            scope.cancel()

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function in the event loop, from any thread but the loop's own.

        Raises:
            CallOverError: The call is over. In the method's worker thread, its cancellation is raised instead.
        """
        try:
            return from_thread.run(function, *args)
        except anyio.NoEventLoopError:  # Not a worker thread; it has not been run.
            pass
        try:
            return from_thread.run(self._until_over, function, args, token=self._loop.token)
        except anyio.RunFinishedError:
            raise CallOverError from None

    async def _until_over(self, function: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...]) -> T:
        if not self._over:
            with anyio.CancelScope() as scope:
                self._waiting.add(scope)
                try:
                    return await function(*args)
                finally:
                    self._waiting.remove(scope)
        raise CallOverError
