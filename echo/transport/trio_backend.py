"""`echo.transport.backend` with trio's own primitives."""

import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, cast

import trio

from echo.transport.backend import Nursery, Scope
from echo.transport.waiting import SignalLike


def _abort(_: object) -> trio.lowlevel.Abort:
    """Let a wait be cancelled at any time."""
    return trio.lowlevel.Abort.SUCCEEDED


class _Woken:
    """The outcome that a woken task gets. One does for all; `trio.lowlevel.reschedule` would make one each time."""

    __slots__ = ()

    def unwrap(self) -> None:
        """Nothing, and no error."""


_WOKEN: Final = cast("Any", _Woken())


class TrioSignal:
    """A `Signal` that wakes tasks directly, without an event.

    A waiting task has the signal as its ``custom_sleep_data``. Trio clears that when the task resumes or is cancelled.
    So a cancelled wait only leaves a stale entry, until the next `wait` or `set`.
    """

    __slots__ = ("_others", "_task")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None  # Usually at most one task waits.
        self._others: tuple[trio.lowlevel.Task, ...] = ()

    def set(self) -> None:
        """Wake all waiting tasks."""
        task = self._task
        if task is not None:
            self._task = None
            if task.custom_sleep_data is self:
                trio.lowlevel.reschedule(task, _WOKEN)
            if self._others:
                others, self._others = self._others, ()
                for task in others:
                    if task.custom_sleep_data is self:
                        trio.lowlevel.reschedule(task, _WOKEN)

    def wait(self) -> Awaitable[None]:
        """An awaitable for the next `set`. The calling task must await it at once."""
        task = trio.lowlevel.current_task()
        if self._task is None or self._task.custom_sleep_data is not self:
            self._task = task
        else:
            self._others = (*(other for other in self._others if other.custom_sleep_data is self), task)
        task.custom_sleep_data = self
        return trio.lowlevel.wait_task_rescheduled(_abort)  # noqa: ASYNC105 - the caller does.


class TrioBackend:
    """Trio's own primitives."""

    forget_cancel = None

    def __init__(self) -> None:
        # `trio.current_time` looks for the clock each time, which takes as long as reading it.
        self.now: Final = trio.lowlevel.current_clock().current_time

    def defer_interrupts(self, *functions: Callable[..., object]) -> None:  # noqa: D102 - as in Backend
        for function in functions:
            trio.lowlevel.enable_ki_protection(function)  # Sets a mark, which may be there already.

    def wait_readable(self, sock: socket.socket) -> Awaitable[None]:  # noqa: D102 - as in Backend
        return trio.lowlevel.wait_readable(sock)  # noqa: ASYNC105 - the caller does.

    def signal(self) -> SignalLike:  # noqa: D102
        return TrioSignal()

    def scope(self, deadline: float = math.inf) -> Scope:  # noqa: D102
        return trio.CancelScope(deadline=deadline)

    def open_nursery(self) -> AbstractAsyncContextManager[Nursery]:  # noqa: D102
        return trio.open_nursery()
