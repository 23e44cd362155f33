"""A parent with small real workers: who gets connections, what dies, what is replaced, how all ends."""

import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from anyio.abc import SocketAttribute

from echo.rpc import open_tcp_listener
from echo.transport import StreamListener
from echo.workers import Crew, NoWorkersError, WorkerExitedError, answers
from echo.workers import crew as under_test
from echo.workers import worker as worker_module
from tests.support.leaks import no_leaks
from tests.support.serving import LOOPBACK

PATIENCE = 30.0
GRACE = 100.0  # No test waits for it.


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    with trio.fail_after(PATIENCE):
        async with no_leaks():
            yield


class Running:
    """A crew that runs.

    Attributes:
        ports: Where it listens.
        last_words: Of those that have ended.
        stop: Set it to have it drain.
        ended: Set when it has ended.
        scope: Cancel it to have it end at once.
    """

    def __init__(self, places: list[StreamListener], command: list[str], number: int, ports: list[int]) -> None:
        self.last_words: list[bytes] = []
        self.crew = Crew(command, places, number, GRACE, self.last_words.append)
        self.ports = ports
        self.stop = trio.Event()
        self.ended = trio.Event()
        self.scope = trio.CancelScope()

    @property
    def pids(self) -> set[int]:
        return {worker.pid for worker in self.crew.workers}

    async def until(self, pids: int, without: AbstractSet[int] = frozenset()) -> set[int]:
        """Wait until so many workers serve, and none of these; gives them."""
        await until(lambda: len(self.pids) == pids and not self.pids & without)
        return self.pids


async def run(folder: Path, number: int = 2, *, listeners: int = 1, task_status: trio.TaskStatus[Running]) -> None:
    places = [await open_tcp_listener(LOOPBACK, 0) for _ in range(listeners)]
    command = [sys.executable, "-m", "tests.support.worker", str(folder), str(listeners)]
    ports = [each.extra(SocketAttribute.local_port) for each in places]
    running = Running(places, command, number, ports)
    try:
        with running.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(running.crew.run, running.stop.wait)
                task_status.started(running)
    finally:
        for place in places:
            await place.aclose()
        running.ended.set()


@asynccontextmanager
async def crew(folder: Path, number: int = 2, *, listeners: int = 1) -> AsyncIterator[Running]:
    async with trio.open_nursery() as nursery:

        async def start(*, task_status: trio.TaskStatus[Running]) -> None:
            await run(folder, number, listeners=listeners, task_status=task_status)

        running: Running = await nursery.start(start)
        yield running
        running.stop.set()


async def until(happened: Callable[[], bool]) -> None:
    """Wait for other processes."""
    while not happened():  # noqa: ASYNC110 - Nobody here hears of it.
        await trio.sleep(0.002)


class Client:
    """A connection, and the process id of the worker that has it."""

    def __init__(self, stream: trio.SocketStream, pid: int) -> None:
        self.stream = stream
        self.pid = pid

    async def echoes(self) -> bool:
        """Whether it is served."""
        try:
            await self.stream.send_all(b"hi")
            return bool(await self.stream.receive_some())
        except trio.BrokenResourceError:
            return False


async def connect(port: int) -> Client:
    stream = await trio.open_tcp_stream(LOOPBACK, port)
    greeting = b""
    while not greeting.endswith(b"\n"):
        data = await stream.receive_some()
        assert data, "closed before anybody served it"
        greeting += data
    return Client(stream, int(greeting))


async def test_long_connections_are_spread_evenly_by_how_many_each_worker_has(tmp_path: Path) -> None:
    async with crew(tmp_path) as running:
        clients = [await connect(running.ports[0]) for _ in range(10)]
        assert sorted(Counter(client.pid for client in clients).values()) == [5, 5]
        one = clients[0].pid
        for client in [client for client in clients if client.pid == one]:
            clients.remove(client)
            await client.stream.aclose()
        await until(lambda: not min(worker.open for worker in running.crew.workers))
        clients += [await connect(running.ports[0]) for _ in range(5)]
        assert {client.pid for client in clients[5:]} == {one}
        for client in clients:
            await client.stream.aclose()


async def test_short_connections_are_spread_as_well(tmp_path: Path) -> None:
    async with crew(tmp_path) as running:
        found: Counter[int] = Counter()
        for _ in range(20):
            client = await connect(running.ports[0])
            found[client.pid] += 1
            await client.stream.aclose()
            await until(lambda: not any(worker.open for worker in running.crew.workers))
        assert sorted(found.values()) == [10, 10]


async def test_a_worker_that_is_killed_takes_its_own_connections_and_is_replaced(tmp_path: Path) -> None:
    async with crew(tmp_path) as running:
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


async def test_what_a_dead_worker_had_not_taken_goes_to_another(tmp_path: Path) -> None:
    async with crew(tmp_path) as running:
        stopped = next(iter(running.pids))
        os.kill(stopped, signal.SIGSTOP)
        found: list[Client] = []

        async def client() -> None:
            found.append(await connect(running.ports[0]))

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(client)
            await until(lambda: sum(worker.open for worker in running.crew.workers) == 8)
            assert {worker.pid: worker.waiting for worker in running.crew.workers}[stopped] == 4
            os.kill(stopped, signal.SIGKILL)
        assert len(found) == 8
        assert stopped not in {client.pid for client in found}
        for each in found:
            await each.stream.aclose()


async def test_a_worker_that_stands_still_holds_nobody_up_and_is_used_again_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "LATE", 0.1)
    async with crew(tmp_path) as running:
        stopped = next(iter(running.pids))
        os.kill(stopped, signal.SIGSTOP)
        try:
            clients = [await connect(running.ports[0]) for _ in range(8)]
            assert stopped not in {client.pid for client in clients}
        finally:
            os.kill(stopped, signal.SIGCONT)
        (worker,) = (worker for worker in running.crew.workers if worker.pid == stopped)
        await until(lambda: worker.takes(0))
        clients += [await connect(running.ports[0]) for _ in range(8)]
        assert {client.pid for client in clients[8:]} == {stopped}
        for client in clients:
            await client.stream.aclose()


async def test_sighup_replaces_the_workers_one_by_one_and_their_connections_are_finished(tmp_path: Path) -> None:
    async with crew(tmp_path) as running:
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


async def test_sighups_during_a_roll_mean_one_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with crew(tmp_path, 1) as running:
        first = running.pids
        client = await connect(running.ports[0])
        os.kill(os.getpid(), signal.SIGHUP)
        second = await running.until(2) - first  # The first cannot end yet.
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGHUP)
            await trio.sleep(0.001)
        await client.stream.aclose()
        third = await running.until(1, first | second)
        await trio.sleep(0.5)
        assert running.pids == third


async def test_a_successor_that_does_not_start_leaves_all_as_it_was(tmp_path: Path) -> None:
    async with crew(tmp_path) as running:
        before = running.pids
        (tmp_path / "start").write_text("exit 2")
        os.kill(os.getpid(), signal.SIGHUP)
        await trio.sleep(0.7)
        client = await connect(running.ports[0])
        assert running.pids == before
        await client.stream.aclose()


async def test_a_worker_that_is_asked_to_leave_by_a_signal_is_replaced_and_finishes(tmp_path: Path) -> None:
    """As when somebody sends SIGTERM to it by itself: then it says that it is leaving."""
    async with crew(tmp_path) as running:
        client = await connect(running.ports[0])
        before = running.pids
        (worker,) = (worker for worker in running.crew.workers if worker.pid == client.pid)
        worker.going.set()
        await running.until(3)
        assert worker.ended == {0}
        assert await client.echoes()
        await client.stream.aclose()
        assert len(await running.until(2, {client.pid}) & before) == 1


async def test_the_first_one_s_failure_to_start_is_that_of_all(tmp_path: Path) -> None:
    (tmp_path / "start").write_text("exit 2")
    with pytest.RaisesGroup(pytest.RaisesExc(WorkerExitedError, match="status 2 "), flatten_subgroups=True):
        async with crew(tmp_path):
            pass


async def test_one_that_does_not_become_ready_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "START", 0.5)
    (tmp_path / "start").write_text("hang")
    with pytest.RaisesGroup(pytest.RaisesExc(WorkerExitedError), flatten_subgroups=True):
        async with crew(tmp_path):
            pass


async def test_one_that_says_what_no_worker_says_is_ended(tmp_path: Path) -> None:
    (tmp_path / "start").write_text("babble")
    with pytest.RaisesGroup(pytest.RaisesExc(WorkerExitedError), flatten_subgroups=True):
        async with crew(tmp_path):
            pass


async def test_it_gives_up_when_none_is_left_and_none_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(under_test, "MOST_FAILURES", 3)
    with pytest.RaisesGroup(NoWorkersError, flatten_subgroups=True):
        async with crew(tmp_path, 1) as running:
            (tmp_path / "start").write_text("exit 1")
            os.kill(next(iter(running.pids)), signal.SIGKILL)
            await trio.sleep_forever()


async def test_one_that_dies_again_and_again_is_started_again_by_and_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "FIRST_PAUSE", 0.01)
    async with crew(tmp_path) as running:
        victim, survivor = running.pids
        (tmp_path / "start").write_text("exit 1")
        os.kill(victim, signal.SIGKILL)
        await running.until(1)
        client = await connect(running.ports[0])
        assert client.pid == survivor
        (tmp_path / "start").unlink()
        await running.until(2, {victim})
        await client.stream.aclose()


async def test_the_pauses_grow_to_a_bound() -> None:
    pauses = [under_test.pause_after(failures) for failures in range(1, 20)]
    assert pauses[:5] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert max(pauses) == pauses[-1] == under_test.LONGEST_PAUSE


async def test_a_stop_takes_the_last_connections_and_waits_for_all_to_be_finished(tmp_path: Path) -> None:
    async with crew(tmp_path) as running:
        client = await connect(running.ports[0])
        late = socket.create_connection((LOOPBACK, running.ports[0]))  # Nobody has accepted it yet.
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


async def test_workers_that_outlast_the_grace_period_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "OVERTIME", 0.3 - GRACE)
    async with crew(tmp_path) as running:
        client = await connect(running.ports[0])
        running.stop.set()
        await running.ended.wait()
        assert not await client.echoes()
        await client.stream.aclose()


async def test_cancelling_it_ends_all_workers_also_stopped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "AT_ONCE", 0.3)
    async with crew(tmp_path) as running:
        pids = running.pids
        os.kill(next(iter(pids)), signal.SIGSTOP)
        running.scope.cancel()
        await running.ended.wait()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_all_are_asked_and_one_that_does_not_answer_is_what_it_was(tmp_path: Path) -> None:
    async with crew(tmp_path) as running:
        stopped, other = running.pids
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(3):
                assert {int(answer) for answer in await running.crew.ask_all(0.2)} == {other}
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert {int(answer) for answer in await running.crew.ask_all(20)} == running.pids
        os.kill(stopped, signal.SIGSTOP)
        try:
            assert {int(answer) for answer in await running.crew.ask_all(0.2)} == running.pids
        finally:
            os.kill(stopped, signal.SIGCONT)


async def test_a_worker_s_last_words_are_kept_however_it_ends(tmp_path: Path) -> None:
    async with crew(tmp_path) as running:
        killed, other = running.pids
        await running.crew.ask_all(20)
        os.kill(killed, signal.SIGKILL)
        await until(lambda: running.last_words == [b"%d" % killed])
        await running.until(2, {killed})
        (asked_never,) = running.pids - {other}
        running.stop.set()
        await running.ended.wait()
        assert sorted(running.last_words[1:]) == sorted(b"%d" % pid for pid in (other, asked_never))


@pytest.mark.parametrize("size", [0, 1, 32 * 1024, 32 * 1024 + 1, 1_000_000])
async def test_answers_of_any_size_come_whole(size: int, tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(str(size))
    async with crew(tmp_path, 1) as running:
        assert [len(answer) for answer in await running.crew.ask_all(20)] == [size]


async def test_an_answer_that_is_too_large_is_none_and_the_next_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER", 99_999)
    (tmp_path / "answer").write_text("100000")
    async with crew(tmp_path, 1) as running:
        assert await running.crew.ask_all(20) == []
        monkeypatch.setattr(answers, "MAX_ANSWER", 100_000)
        assert [len(answer) for answer in await running.crew.ask_all(20)] == [100_000]


async def test_each_listener_s_connections_are_told_apart(tmp_path: Path) -> None:
    async with crew(tmp_path, listeners=2) as running:
        clients = [await connect(port) for port in running.ports for _ in range(2)]
        assert sorted(Counter(client.pid for client in clients).values()) == [2, 2]
        for client in clients:
            await client.stream.aclose()
