"""The few primitives that every call and message uses; on trio they are trio's own, which cost less than anyio's.

The runtime is written on anyio and also runs on asyncio. On trio, a task costs 19 us and 3.2 KiB through anyio, and
5 us and 1.7 KiB without; a wait with its wake-up costs 6.5 us and 4.4 us. So handlers and their waits use trio directly
where it runs. Nothing else does, and only this module knows the difference.
"""

import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any, Protocol, cast

import anyio
import sniffio

from echo.transport.waiting import Signal, SignalLike


class Scope(Protocol):
    """A cancel scope, anyio's or trio's, for one ``with`` block. It may be cancelled before the block too.

    Attributes:
        deadline: When it is cancelled by itself, on the event loop's clock; it may be changed.
    """

    deadline: float

    @property
    def cancelled_caught(self) -> bool:
        """Whether it has cancelled the block."""

    def cancel(self) -> None:
        """Cancel the block."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...


class Nursery(Protocol):
    """A nursery or a task group."""

    @property
    def cancel_scope(self) -> Scope:
        """The scope around its tasks and its block."""

    def start_soon(self, function: Callable[..., Awaitable[Any]], *args: Any, name: object = None) -> object:
        """Run the function in a task of its own."""


class Backend(Protocol):
    """The primitives."""

    @property
    def forget_cancel(self) -> Callable[[], Awaitable[bool]] | None:
        """Call it after a handler: undoes a `cancel` of the calling task, which asyncio has; returns whether it had to.

        None where only scopes can be cancelled.
        """

    def defer_interrupts(self, *functions: Callable[..., object]) -> None:
        """Have Ctrl-C raise `KeyboardInterrupt` in the program's main task, never while these functions run.

        They are those of our own tasks. The error would end a connection, and reach the program as that.
        """

    def now(self) -> float:
        """The time on the event loop's clock, in seconds."""

    def signal(self) -> SignalLike:
        """A signal."""

    def wait_readable(self, sock: socket.socket) -> Awaitable[None]:
        """Wait until the socket has input. Await it at once; do not close the socket meanwhile."""

    def scope(self, deadline: float = math.inf) -> Scope:
        """A cancel scope with a deadline on the event loop's clock."""

    def open_nursery(self) -> AbstractAsyncContextManager[Nursery]:
        """A nursery."""


class AnyBackend:
    """The primitives of anyio."""

    async def forget_cancel(self) -> bool:  # noqa: D102 - as in Backend
        import asyncio  # noqa: PLC0415 - So that trio does not load it.

        task = asyncio.current_task()
        if task is None or not task.cancelling():
            return False
        with suppress(asyncio.CancelledError):  # It is raised where the task waits next, or else when it ends.
            await asyncio.sleep(0)
        while task.uncancel():
            pass
        return True

    def defer_interrupts(self, *functions: Callable[..., object]) -> None:
        """Do nothing: asyncio always does so."""

    def now(self) -> float:  # noqa: D102
        return anyio.current_time()

    def signal(self) -> SignalLike:  # noqa: D102
        return Signal()

    def wait_readable(self, sock: socket.socket) -> Awaitable[None]:  # noqa: D102
        return anyio.wait_readable(sock)

    def scope(self, deadline: float = math.inf) -> Scope:  # noqa: D102
        return anyio.CancelScope(deadline=deadline)

    def open_nursery(self) -> AbstractAsyncContextManager[Nursery]:  # noqa: D102
        return cast("AbstractAsyncContextManager[Nursery]", anyio.create_task_group())


def current_backend() -> Backend:
    """The backend that runs the calling task."""
    if sniffio.current_async_library() == "trio":
        from echo.transport.trio_backend import TrioBackend  # noqa: PLC0415 - So that asyncio does not load trio.

        return TrioBackend()
    return AnyBackend()
