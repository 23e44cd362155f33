"""Cancellation of something else: on asyncio, awaiting a task that somebody has cancelled raises `CancelledError` too.

In one of a channel's own tasks, it would cancel the channel's whole nursery, whose block would then be left without any
error. So where such a task runs code that its user supplies, this is treated as that code's failure.
"""

import math
from collections.abc import Awaitable
from typing import TypeVar

import anyio
import sniffio

__all__ = ["awaited", "cancelled_with_connection", "is_foreign"]

T = TypeVar("T")


def is_foreign(error: BaseException) -> bool:
    """Whether it is a cancellation, but not of the running task."""
    if sniffio.current_async_library() == "trio" or not isinstance(error, anyio.get_cancelled_exc_class()):
        return False
    import asyncio  # noqa: PLC0415 - So that trio does not load it.

    task = asyncio.current_task()
    return anyio.current_effective_deadline() != -math.inf and (task is None or not task.cancelling())


def cancelled_with_connection() -> bool:
    """For a handler's task that ends with a cancellation: whether the call, or its connection, was cancelled.

    A program that ends on asyncio cancels all its tasks at once, and a handler's may run before its connection's.
    """
    if anyio.current_effective_deadline() == -math.inf:
        return True
    if sniffio.current_async_library() == "trio":
        return False
    import asyncio  # noqa: PLC0415 - So that trio does not load it.

    connection = anyio.get_current_task().parent_id
    return any(id(task) == connection and task.cancelling() for task in asyncio.all_tasks())


async def awaited(work: Awaitable[T]) -> T:
    """Await what looks up an address or connects to it.

    Raises:
        OSError: What it waits for was cancelled; or as it raises itself.
    """
    try:
        return await work
    except BaseException as error:
        if is_foreign(error):
            raise OSError("it was cancelled") from error
        raise
