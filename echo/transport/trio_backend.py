"""`echo.transport.backend` with trio's own primitives."""

import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, cast

import trio

from echo.transport.backend import Backend

TrioScope = trio.CancelScope
TrioNursery = trio.Nursery


def _abort(_: object) -> trio.lowlevel.Abort:
    """Let a wait be cancelled at any time."""
    return trio.lowlevel.Abort.SUCCEEDED


class _Woken:
    """The outcome that a woken task gets. One does for all; `trio.lowlevel.reschedule` would make one each time."""

    __slots__ = ()

    def unwrap(self) -> None:
        """Nothing, and no error."""


_WOKEN: Final = cast("Any", _Woken())


def _message_of_a_wait() -> object:
    """What a task yields to trio to wait until it is rescheduled, or cancelled as `_abort` lets it."""
    waiting = trio.lowlevel.wait_task_rescheduled(_abort)  # noqa: ASYNC105 - only its message is wanted.
    message = waiting.send(None)
    waiting.close()
    return message


_WAIT: Final = _message_of_a_wait()


@types.coroutine
def _sleep() -> Generator[object, Any, None]:
    """As `trio.lowlevel.wait_task_rescheduled`, which makes two coroutines and the message each time.

    That takes a third of the instructions of a wait with its wake-up.
    """
    outcome = yield _WAIT
    if outcome is not _WOKEN:
        try:
            outcome.unwrap()  # Raises Cancelled.
        finally:
            del outcome  # Its error's traceback refers to this frame: what the task held would wait for the collector.


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
        return _sleep()


def _defer_interrupts(*functions: Callable[..., object]) -> None:
    for function in functions:
        trio.lowlevel.enable_ki_protection(function)  # Sets a mark, which may be there already.


def _abandon_nurseries() -> bool:
    nurseries = trio.lowlevel.current_task().child_nurseries
    for nursery in nurseries:
        nursery.cancel_scope.cancel()
    return bool(nurseries)


def trio_backend() -> Backend:
    """Trio's own primitives."""
    return Backend(
        now=trio.lowlevel.current_clock().current_time,  # `trio.current_time` looks for the clock each time.
        signal=TrioSignal,
        wait_readable=trio.lowlevel.wait_readable,
        scope=trio.CancelScope,
        open_nursery=trio.open_nursery,
        forget_cancel=None,
        defer_interrupts=_defer_interrupts,
        abandon_nurseries=_abandon_nurseries,
    )
