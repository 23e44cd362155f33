"""Signals, from the first that asks to the second that insists; with real signals to this process."""

import signal

import pytest
import trio
import trio.testing

from echo.cli.lifecycle import Stop, run_until_signalled


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_program_stop_in_its_own_time_and_exit_0(number: signal.Signals) -> None:
    steps: list[str] = []

    async def program(stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        signal.raise_signal(number)
        await stop()
        steps.append("draining")
        await trio.testing.wait_all_tasks_blocked()
        steps.append("drained")

    assert await run_until_signalled(program) == 0
    assert steps == ["draining", "drained"]


async def test_all_tasks_that_wait_for_a_stop_are_woken() -> None:
    told: list[int] = []

    async def part(number: int, stop: Stop) -> None:
        await stop()
        told.append(number)

    async def program(stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(part, 1, stop)
            nursery.start_soon(part, 2, stop)
            await trio.testing.wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGTERM)

    assert await run_until_signalled(program) == 0
    assert sorted(told) == [1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_during_the_start_ends_it_at_once_with_0(number: signal.Signals) -> None:
    steps: list[str] = []

    async def program(stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            steps.append("starting")
            signal.raise_signal(number)
            await trio.sleep_forever()
        finally:
            steps.append("closed")

    assert await run_until_signalled(program) == 0
    assert steps == ["starting", "closed"]


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(signal.SIGTERM, signal.SIGTERM, 143), (signal.SIGINT, signal.SIGINT, 130), (signal.SIGTERM, signal.SIGINT, 130)],
)
async def test_a_second_signal_cancels_what_still_drains(
    first: signal.Signals, second: signal.Signals, status: int
) -> None:
    undone = trio.Event()

    async def program(stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        signal.raise_signal(first)
        await stop()
        signal.raise_signal(second)
        try:
            await trio.sleep_forever()
        finally:
            undone.set()

    assert await run_until_signalled(program) == status
    assert undone.is_set()


async def test_a_program_that_ends_by_itself_ends_the_run() -> None:
    async def program(stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()

    assert await run_until_signalled(program) == 0


async def test_an_error_of_the_program_propagates() -> None:
    async def program(stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()
        raise LookupError("gone")

    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="gone"), flatten_subgroups=True):
        await run_until_signalled(program)


async def test_signals_are_handled_as_before_once_it_is_over() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    async def program(stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()
        assert signal.getsignal(signal.SIGTERM) is not before[0]

    await run_until_signalled(program)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
