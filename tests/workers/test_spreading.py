"""How connections are spread over workers, including workers that die or stall."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from echo.workers import worker as worker_module
from tests.support.supervised import Client, connect, supervised, until

pytestmark = [pytest.mark.usefixtures("nothing_left")]


async def test_long_connections_are_spread_evenly(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        clients = [await connect(running.ports[0]) for _ in range(10)]
        assert sorted(Counter(client.pid for client in clients).values()) == [5, 5]
        one = clients[0].pid
        for client in [client for client in clients if client.pid == one]:
            clients.remove(client)
            await client.stream.aclose()
        await until(lambda: not min(worker.open for worker in running.supervisor.workers))
        clients += [await connect(running.ports[0]) for _ in range(5)]
        assert {client.pid for client in clients[5:]} == {one}
        for client in clients:
            await client.stream.aclose()


async def test_short_connections_are_spread_as_well(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        found: Counter[int] = Counter()
        for _ in range(20):
            client = await connect(running.ports[0])
            found[client.pid] += 1
            await client.stream.aclose()
            await until(lambda: not any(worker.open for worker in running.supervisor.workers))
        assert sorted(found.values()) == [10, 10]


async def test_connections_that_a_dead_worker_had_not_taken_go_to_another(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        stopped = next(iter(running.pids))
        os.kill(stopped, signal.SIGSTOP)
        found: list[Client] = []

        async def client() -> None:
            found.append(await connect(running.ports[0]))

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(client)
            await until(lambda: sum(worker.open for worker in running.supervisor.workers) == 8)
            assert {worker.pid: worker.waiting for worker in running.supervisor.workers}[stopped] == 4
            os.kill(stopped, signal.SIGKILL)
        assert len(found) == 8
        assert stopped not in {client.pid for client in found}
        for each in found:
            await each.stream.aclose()


async def test_a_stalled_worker_delays_no_client_and_is_used_again_when_it_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "TAKE_TIMEOUT", 0.1)
    async with supervised(tmp_path) as running:
        stopped = next(iter(running.pids))
        os.kill(stopped, signal.SIGSTOP)
        try:
            clients = [await connect(running.ports[0]) for _ in range(8)]
            assert stopped not in {client.pid for client in clients}
        finally:
            monkeypatch.setattr(
                worker_module, "TAKE_TIMEOUT", 60
            )  # From here on, a slow machine must not look like a stuck worker.
            os.kill(stopped, signal.SIGCONT)
        (worker,) = (worker for worker in running.supervisor.workers if worker.pid == stopped)
        await until(lambda: worker.accepts(0))
        clients += [await connect(running.ports[0]) for _ in range(8)]
        assert {client.pid for client in clients[8:]} == {stopped}
        for client in clients:
            await client.stream.aclose()


async def test_connections_of_all_listeners_are_served_and_spread(tmp_path: Path) -> None:
    async with supervised(tmp_path, listeners=2) as running:
        clients = [await connect(port) for port in running.ports for _ in range(2)]
        assert sorted(Counter(client.pid for client in clients).values()) == [2, 2]
        for client in clients:
            await client.stream.aclose()


async def test_few_connections_wait_for_a_worker_and_the_kernel_queues_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MAX_WAITING", 5)
    monkeypatch.setattr(worker_module, "TAKE_TIMEOUT", 60)
    async with supervised(tmp_path, 1) as running:
        (worker,) = running.supervisor.workers
        os.kill(worker.pid, signal.SIGSTOP)
        clients: list[Client] = []

        async def client() -> None:
            clients.append(await connect(running.ports[0]))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(client)
            await until(lambda: worker.waiting == 5)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert worker.open == 5
            os.kill(worker.pid, signal.SIGCONT)
        assert len(clients) == 20
        for each in clients:
            await each.stream.aclose()


async def test_a_worker_that_stays_silent_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "TAKE_TIMEOUT", 0.02)
    monkeypatch.setattr(worker_module, "SILENCE_TIMEOUT", 0.02)
    with structlog.testing.capture_logs() as logs:
        async with supervised(tmp_path) as running:
            stopped = next(iter(running.pids))
            os.kill(stopped, signal.SIGSTOP)
            clients = [await connect(running.ports[0]) for _ in range(2)]
            await until(lambda: {"event": "worker does not answer", "worker": stopped, "log_level": "warning"} in logs)
            os.kill(stopped, signal.SIGCONT)
            for each in clients:
                await each.stream.aclose()
