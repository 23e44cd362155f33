"""The few primitives that every call and message uses; on trio they are trio's own, which cost less than anyio's.

The runtime is written on anyio and also runs on asyncio. On trio, a task costs 19 us and 3.2 KiB through anyio, and
5 us and 1.7 KiB without; a wait with its wake-up costs 6.5 us and 4.4 us. So handlers and their waits use trio directly
where it runs. Nothing else does, and only this module knows the difference.
"""

import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import anyio
import sniffio
from anyio.abc import TaskGroup

from echo.transport.waiting import Signal, SignalLike

if TYPE_CHECKING:
    from echo.transport.trio_backend import TrioNursery, TrioScope

Scope: TypeAlias = "anyio.CancelScope | TrioScope"  # Only what both have is used.
Nursery: TypeAlias = "TaskGroup | TrioNursery"


@dataclass(frozen=True)
class Backend:
    """The primitives.

    Attributes:
        now: Returns the time on the event loop's clock, in seconds.
        signal: Makes a signal.
        wait_readable: Waits until a socket has input. Await it at once; do not close the socket meanwhile.
        scope: Makes a cancel scope.
        open_nursery: Makes a nursery.
        forget_cancel: Call it after a handler: undoes a `cancel` of the calling task, which asyncio has; returns
            whether it had to. None where only scopes can be cancelled.
        defer_interrupts: Has Ctrl-C raise `KeyboardInterrupt` in the program's main task, never while these functions
            run. They are those of our own tasks. The error would end a connection, and reach the program as that.
        abandon_nurseries: Call it after a handler that has left a cancel scope or a nursery open. Cancels the nursery
            if it can; returns whether the task can end only with an error, which cancels all tasks beside it.
    """

    now: Callable[[], float]
    signal: Callable[[], SignalLike]
    wait_readable: Callable[[socket.socket], Awaitable[None]]
    scope: Callable[[], Scope]
    open_nursery: Callable[[], AbstractAsyncContextManager[Nursery]]
    forget_cancel: Callable[[], Awaitable[bool]] | None
    defer_interrupts: Callable[..., None]
    abandon_nurseries: Callable[[], bool]


def current_backend() -> Backend:
    """The backend that runs the calling task."""
    if sniffio.current_async_library() == "trio":
        from echo.transport.trio_backend import trio_backend  # noqa: PLC0415 - So that asyncio does not load trio.

        return trio_backend()
    return Backend(
        now=anyio.current_time,
        signal=Signal,
        wait_readable=anyio.wait_readable,
        scope=anyio.CancelScope,
        open_nursery=anyio.create_task_group,
        forget_cancel=_forget_cancel,
        defer_interrupts=lambda *_: None,  # asyncio always does so.
        abandon_nurseries=lambda: True,  # anyio has a scope of its own around each task.
    )


async def _forget_cancel() -> bool:
    import asyncio  # noqa: PLC0415 - So that trio does not load it.

    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return False
    with suppress(asyncio.CancelledError):  # It is raised where the task waits next, or else when it ends.
        await asyncio.sleep(0)
    while task.uncancel():
        pass
    return True
