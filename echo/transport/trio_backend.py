"""`echo.transport.backend` by trio's own means."""

import math
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager

import trio

from echo.transport.backend import Nursery, Scope
from echo.transport.waiting import SignalLike


def _abort(_: object) -> trio.lowlevel.Abort:
    """A wait is cancelled: nothing stands in the way."""
    return trio.lowlevel.Abort.SUCCEEDED


class TrioSignal:
    """A `Signal` whose waiters are the tasks themselves, without an event between.

    A task that waits has the signal as its ``custom_sleep_data``, which trio takes away when the task goes on, also
    when it is cancelled. So a cancelled wait leaves nothing behind but its place here, until the next wait or `set`.
    """

    __slots__ = ("_others", "_task")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None  # Mostly there is one at most.
        self._others: tuple[trio.lowlevel.Task, ...] = ()

    def set(self) -> None:
        """Wake all who wait."""
        task = self._task
        if task is not None:
            self._task = None
            if task.custom_sleep_data is self:
                trio.lowlevel.reschedule(task)
            if self._others:
                others, self._others = self._others, ()
                for task in others:
                    if task.custom_sleep_data is self:
                        trio.lowlevel.reschedule(task)

    def wait(self) -> Awaitable[None]:
        """What to await for the next `set`, at once and by the task that asks."""
        task = trio.lowlevel.current_task()
        if self._task is None or self._task.custom_sleep_data is not self:
            self._task = task
        else:
            self._others = (*(other for other in self._others if other.custom_sleep_data is self), task)
        task.custom_sleep_data = self
        return trio.lowlevel.wait_task_rescheduled(_abort)  # noqa: ASYNC105 - the caller does.


class TrioBackend:
    """By trio's own means."""

    def now(self) -> float:  # noqa: D102 - as in Backend
        return trio.current_time()

    def signal(self) -> SignalLike:  # noqa: D102
        return TrioSignal()

    def scope(self, deadline: float = math.inf) -> Scope:  # noqa: D102
        return trio.CancelScope(deadline=deadline)

    def open_nursery(self) -> AbstractAsyncContextManager[Nursery]:  # noqa: D102
        return trio.open_nursery()
