"""Workers that die, are replaced, or cannot be started."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from echo.workers import NoWorkersError, WorkerExitedError
from echo.workers import supervisor as under_test
from echo.workers import worker as worker_module
from tests.support.supervised import GRACE, connect, supervised, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]


async def test_a_killed_worker_loses_only_its_own_connections_and_is_replaced(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        clients = [await connect(running.ports[0]) for _ in range(6)]
        victim = clients[0].pid
        before = running.pids
        os.kill(victim, signal.SIGKILL)
        assert [await client.echoes() for client in clients] == [client.pid != victim for client in clients]
        after = await running.until(2, {victim})
        assert len(after & before) == 1
        newcomer = await connect(running.ports[0])
        assert newcomer.pid not in before, "the newcomer has the fewest"
        for client in (*clients, newcomer):
            await client.stream.aclose()


async def test_the_only_worker_is_replaced_too(tmp_path: Path) -> None:
    async with supervised(tmp_path, 1) as running:
        (victim,) = running.pids
        os.kill(victim, signal.SIGKILL)
        await running.until(1, {victim})


async def test_sighup_replaces_the_workers_one_by_one_and_their_connections_finish(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        clients = [await connect(running.ports[0]) for _ in range(4)]
        before = running.pids
        os.kill(os.getpid(), signal.SIGHUP)
        first = await running.until(3)
        (successor,) = first - before
        newcomer = await connect(running.ports[0])
        assert newcomer.pid == successor
        assert await running.until(3) == first, "the second is not replaced before the first has ended"
        assert all([await client.echoes() for client in clients])
        for client in clients:
            await client.stream.aclose()
        await running.until(2, before)
        assert await newcomer.echoes()
        await newcomer.stream.aclose()


async def test_a_worker_that_is_replaced_has_longer_to_end_than_one_that_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "KILL_DELAY", -GRACE)  # At once.
    async with supervised(tmp_path, 1) as running:
        client = await connect(running.ports[0])
        os.kill(os.getpid(), signal.SIGHUP)
        await running.until(2)
        newcomer = await connect(running.ports[0])
        assert newcomer.pid != client.pid
        assert await client.echoes()
        await client.stream.aclose()
        await newcomer.stream.aclose()


async def test_sighups_during_a_replacement_cause_one_more(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        await send_six_sighups(tmp_path)
    assert [line["event"] for line in logs].count("replacing the workers") == 2


async def send_six_sighups(tmp_path: Path) -> None:
    async with supervised(tmp_path, 1) as running:
        first = running.pids
        client = await connect(running.ports[0])
        os.kill(os.getpid(), signal.SIGHUP)
        second = await running.until(2) - first  # The first cannot end yet.
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGHUP)
            await trio.sleep(0.001)
        await client.stream.aclose()
        third = await running.until(1, first | second)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert running.pids == third


async def test_if_a_successor_does_not_start_the_workers_stay(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        before = running.pids
        (tmp_path / "start").write_text("exit 2")
        with structlog.testing.capture_logs() as logs:
            for times in (1, 2):
                os.kill(os.getpid(), signal.SIGHUP)
                await until(lambda: sum("stay as they are" in line["event"] for line in logs) >= times)  # noqa: B023
        assert ["stay as they are" in line["event"] for line in logs] == [False, True] * 2, "only one start is tried"
        client = await connect(running.ports[0])
        assert running.pids == before
        await client.stream.aclose()


async def test_a_worker_that_wants_to_leave_is_replaced_and_finishes_its_connections(tmp_path: Path) -> None:
    """As after SIGTERM to the worker alone."""
    async with supervised(tmp_path) as running:
        client = await connect(running.ports[0])
        before = running.pids
        (worker,) = (worker for worker in running.supervisor.workers if worker.pid == client.pid)
        assert await client.echoes(b"leave")
        await running.until(3)
        assert worker.closed == {0}
        assert await client.echoes()
        await client.stream.aclose()
        assert len(await running.until(2, {client.pid}) & before) == 1


@pytest.mark.parametrize("status", [0, 2])
async def test_if_the_first_worker_does_not_start_the_supervisor_fails(status: int, tmp_path: Path) -> None:
    (tmp_path / "start").write_text(f"exit {status}")
    with pytest.RaisesGroup(pytest.RaisesExc(WorkerExitedError, match=f"status {status} "), flatten_subgroups=True):
        async with supervised(tmp_path):
            pass


async def test_a_worker_that_does_not_become_ready_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "START_TIMEOUT", 0.5)
    (tmp_path / "start").write_text("hang")
    with pytest.RaisesGroup(pytest.RaisesExc(WorkerExitedError), flatten_subgroups=True):
        async with supervised(tmp_path):
            pass


async def test_a_worker_that_sends_an_invalid_message_is_killed(tmp_path: Path) -> None:
    (tmp_path / "start").write_text("babble")
    with pytest.RaisesGroup(pytest.RaisesExc(WorkerExitedError), flatten_subgroups=True):
        async with supervised(tmp_path):
            pass


async def test_the_supervisor_gives_up_when_no_worker_is_left_and_none_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "MIN_DELAY", 0.01)
    monkeypatch.setattr(under_test, "MAX_FAILURES", 3)
    with pytest.RaisesGroup(NoWorkersError, flatten_subgroups=True):
        async with supervised(tmp_path, 1) as running:
            (tmp_path / "start").write_text("exit 1")
            os.kill(next(iter(running.pids)), signal.SIGKILL)
            await trio.sleep_forever()


async def test_a_worker_that_keeps_dying_is_restarted_after_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "MIN_DELAY", 0.01)
    async with supervised(tmp_path) as running:
        victim, survivor = running.pids
        (tmp_path / "start").write_text("exit 1")
        os.kill(victim, signal.SIGKILL)
        await running.until(1)
        client = await connect(running.ports[0])
        assert client.pid == survivor
        (tmp_path / "start").unlink()
        await running.until(2, {victim})
        await client.stream.aclose()


async def test_pauses_between_restarts_grow_up_to_a_maximum() -> None:
    pauses = [under_test.restart_delay(failures) for failures in range(1, 20)]
    assert pauses[:5] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert max(pauses) == pauses[-1] == under_test.MAX_DELAY


async def test_while_no_thread_can_be_started_the_other_workers_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that has as many processes and threads as it may have; trio starts processes in threads."""

    async def no_thread(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(under_test, "MIN_DELAY", 0.01)
    async with supervised(tmp_path) as running:
        victim, survivor = running.pids
        with structlog.testing.capture_logs() as logs, monkeypatch.context() as patched:
            patched.setattr(trio.to_thread, "run_sync", no_thread)
            for act in (partial(os.kill, os.getpid(), signal.SIGHUP), partial(os.kill, victim, signal.SIGKILL)):
                logs.clear()
                act()
                await until(lambda: any(line.get("reason") == "can't start new thread" for line in logs))
            client = await connect(running.ports[0])
            assert client.pid == survivor
            await client.stream.aclose()
        await running.until(2, {victim})
