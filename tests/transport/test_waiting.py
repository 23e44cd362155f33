"""Signals of both kinds, anyio's and trio's: waiting tasks are woken, cancelled ones leave nothing behind."""

import gc
import weakref

import anyio
import pytest
import trio
import trio.lowlevel
import trio.testing

from echo.transport.backend import Backend, current_backend
from echo.transport.trio_backend import TrioSignal
from echo.transport.waiting import Doorbell, Signal, SignalLike


@pytest.fixture(params=["anyio", "trio"])
def signal(request: pytest.FixtureRequest) -> SignalLike:
    return Signal() if request.param == "anyio" else TrioSignal()


async def test_set_wakes_current_waiters_and_no_later_ones(signal: SignalLike) -> None:
    woken: list[int] = []

    async def wait(number: int) -> None:
        await signal.wait()
        woken.append(number)

    async with trio.open_nursery() as nursery:
        signal.set()  # Nobody waits, so it is not remembered.
        for number in range(3):
            nursery.start_soon(wait, number)
        await trio.testing.wait_all_tasks_blocked()
        assert woken == []
        signal.set()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(woken) == [0, 1, 2]
        nursery.start_soon(wait, 3)
        await trio.testing.wait_all_tasks_blocked()
        assert len(woken) == 3
        nursery.cancel_scope.cancel()


async def test_a_cancelled_waiter_is_not_woken_and_the_others_are(signal: SignalLike) -> None:
    woken: list[str] = []

    async def wait(name: str, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await signal.wait()
            woken.append(name)
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        first = await nursery.start(wait, "first")
        await nursery.start(wait, "second")
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        signal.set()
        await trio.testing.wait_all_tasks_blocked()
        assert woken == ["second"]


async def test_thousands_of_cancelled_waits_hold_no_tasks(signal: SignalLike) -> None:
    async def wait() -> None:
        await signal.wait()

    tasks: list[weakref.ref[trio.lowlevel.Task]] = []

    async def remembered() -> None:
        tasks.append(weakref.ref(trio.lowlevel.current_task()))
        await wait()

    for _ in range(1_000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(remembered)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    gc.collect()
    assert sum(task() is not None for task in tasks) <= 2


@pytest.mark.usefixtures("no_collections")
async def test_what_a_cancelled_task_held_is_freed_without_a_garbage_collection(signal: SignalLike) -> None:
    class Message:
        """What the task holds while it waits."""

    held: list[weakref.ref[Message]] = []

    async def wait() -> None:
        message = Message()
        held.append(weakref.ref(message))
        await signal.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [message() for message in held] == [None]


@pytest.mark.parametrize("library", ["trio", "asyncio"])
def test_a_ring_during_work_is_remembered_and_closing_ends_the_worker(library: str) -> None:
    async def main() -> None:
        backend: Backend = current_backend()
        bell = Doorbell(backend.signal())
        answered = 0

        async def work() -> None:
            nonlocal answered
            while await bell.answer():
                answered += 1
                if answered == 1:
                    bell.ring()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            bell.ring()
            await anyio.wait_all_tasks_blocked()
            assert answered == 2
            bell.close()

    anyio.run(main, backend=library)
