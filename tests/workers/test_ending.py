"""How a supervisor and its workers end."""

import os
import signal
import socket
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from echo.workers import worker as worker_module
from tests.support.serving import LOOPBACK
from tests.support.supervised import GRACE, connect, supervised

pytestmark = [pytest.mark.usefixtures("nothing_left")]


async def test_a_stop_accepts_the_last_connections_and_waits_until_all_are_finished(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        client = await connect(running.ports[0])
        late = socket.create_connection((LOOPBACK, running.ports[0]))  # In the kernel's queue.
        running.stop.set()
        assert await client.echoes()
        last = await trio.to_thread.run_sync(late.recv, 100)
        assert int(last) in running.pids
        late.close()
        assert not running.ended.is_set()
        await client.stream.aclose()
        await running.ended.wait()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, running.ports[0]))


async def test_workers_that_end_as_they_are_told_are_no_matter_for_the_log(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with supervised(tmp_path) as running:
            running.stop.set()
            await running.ended.wait()
    assert {line["event"] for line in logs} == {"worker serves"}


async def test_a_stop_accepts_connections_until_the_workers_want_no_more(tmp_path: Path) -> None:
    async with supervised(tmp_path, 1) as running:
        (worker,) = running.pids
        os.kill(worker, signal.SIGSTOP)
        running.stop.set()
        try:
            await trio.testing.wait_all_tasks_blocked(0.05)
            late = await trio.open_tcp_stream(LOOPBACK, running.ports[0])
        finally:
            os.kill(worker, signal.SIGCONT)
        async with late:
            assert int(await late.receive_some()) == worker


async def test_workers_that_outlast_the_grace_period_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "KILL_DELAY", 0.3 - GRACE)
    with structlog.testing.capture_logs() as logs:
        async with supervised(tmp_path) as running:
            client = await connect(running.ports[0])
            running.stop.set()
            await running.ended.wait()
            assert not await client.echoes()
            await client.stream.aclose()
    ended = [(line["worker"], line["status"]) for line in logs if line["event"] == "worker ended"]
    assert (client.pid, -signal.SIGKILL) in ended


async def test_cancelling_the_supervisor_ends_all_workers_even_suspended_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "KILL_DELAY_AT_ONCE", 0.3)
    async with supervised(tmp_path) as running:
        pids = running.pids
        os.kill(next(iter(pids)), signal.SIGSTOP)
        running.scope.cancel()
        await running.ended.wait()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
