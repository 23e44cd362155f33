"""The benchmark: what it compares does the same, its loads do what they count, and its samples mean what they say."""

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from tests.bench import relays, telemetry
from tests.bench.clients import CLIENTS, count
from tests.bench.figures import Contender, Load, Plan, Work, contest, percentile, take
from tests.bench.fleet import Fleet
from tests.bench.gateways import BACKEND, GATEWAYS, ROUTE
from tests.bench.memory import resident
from tests.bench.peers import BIDIRECTIONAL, GET_REPLY, PEERS
from tests.bench.processes import SERVER_CORES, child, killed_after
from tests.bench.raw_calls import RawCalls
from tests.bench.raw_http2 import RawConnection
from tests.bench.raw_websocket import RawWebSocket
from tests.bench.servers import MESSAGE, STREAM_MESSAGE, check

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_answers_alike(name: str) -> None:
    with child("tests.bench.peers", name) as server:
        trio.run(check, server.port)
        with RawConnection(server.port, BIDIRECTIONAL, STREAM_MESSAGE, streams=3) as connection:
            connection.pour(600)
            connection.ping_pong(4)
            connection.burst(connection.streams * 2)
            connection.finish()
        with RawCalls(server.port, GET_REPLY, MESSAGE) as calls:
            assert len(calls.calls(20, concurrent=4).latencies) == 20
            assert len(calls.calls(20, concurrent=4, mesh=True).latencies) == 20
            calls.finish()
        assert server.cpu_ns() > 0


@pytest.mark.parametrize("name", telemetry.PEERS)
def test_ours_answers_alike_with_telemetry_and_without(name: str) -> None:
    with (
        child("tests.bench.telemetry", telemetry.COLLECTOR) as collector,
        child("tests.bench.telemetry", name, str(collector.port)) as server,
    ):
        trio.run(check, server.port)


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    with child("tests.bench.gateways", BACKEND) as process:
        yield process.port


@pytest.mark.parametrize("name", GATEWAYS)
def test_every_gateway_answers_alike(backend: int, name: str) -> None:
    with (
        child("tests.bench.gateways", name, str(backend)) as gateway,
        RawWebSocket(gateway.port, ROUTE, relays.MESSAGE) as websocket,
    ):
        relays.check(websocket)
        websocket.pour(300)
        assert len(websocket.ping_pong(3)) == 3
        websocket.finish()
        assert gateway.cpu_ns() > 0


def test_a_process_that_announces_no_port_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="announced no port"), child("this", cores=None):
        pass


def test_percentiles_are_values_that_were_seen() -> None:
    assert percentile(range(1, 101), 0.5) == 51
    assert percentile(range(1, 101), 0.99) == 100
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.5) == 0


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_does_what_it_is_told(backend: int, name: str) -> None:
    with child("tests.bench.clients", name, str(backend)) as client:
        assert json.loads(client.order("stream 50")) == []
        assert json.loads(client.order("unary 25")) == []
        assert len(json.loads(client.order("ping-pong 3"))) == 3
        with pytest.raises(RuntimeError, match="no answer to 'dance 1'"):
            client.order("dance 1")


async def test_a_client_whose_messages_do_not_all_come_back_fails() -> None:
    async def two() -> AsyncIterator[int]:
        yield 1
        yield 2

    await count(two(), 2)
    with pytest.raises(AssertionError):
        await count(two(), 3)


def test_a_fleet_grows_over_connections_and_uses_all_its_streams() -> None:
    with child("tests.bench.peers", "echo") as server, Fleet(server.port) as fleet:
        before = resident(server.pid)
        fleet.grow(3)
        fleet.grow(250)
        assert fleet.streams == 250
        assert len(fleet.ping_pong(251)) == 251
        fleet.bursts(110)
        fleet.pour(300)
        fleet.finish()
        assert resident(server.pid) > before


def test_a_process_is_on_the_core_it_was_given() -> None:
    with child("tests.bench.peers", "grpcio.aio", cores=SERVER_CORES) as server:
        threads = Path(f"/proc/{server.pid}/task").iterdir()
        assert {frozenset(os.sched_getaffinity(int(thread.name))) for thread in threads} == {frozenset(SERVER_CORES)}


def test_a_process_that_is_too_slow_is_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as process, killed_after(0.01, process.pid):
        assert process.wait(20) == -signal.SIGKILL


def test_samples_tell_cost_rate_latency_and_load() -> None:
    clock = iter([1_000, 41_000])
    taken = take(lambda items: Work(500, [1_000 * item for item in range(items)]), 10, lambda: next(clock))
    assert taken.cost == 4.0
    assert (taken.p50, taken.p99) == (5.0, 9.0)
    assert taken.busy / taken.load == pytest.approx(80)


def test_contenders_take_turns_and_are_measured_alike() -> None:
    runs: list[tuple[str, str, int]] = []

    def load(peer: str, what: str) -> Load:
        def run(items: int) -> Work:
            runs.append((peer, what, items))
            return Work(1)

        return run

    contenders = [
        Contender(peer, lambda: 0, {what: load(peer, what) for what in ("stream", "unary")}) for peer in ("a", "b")
    ]
    figures = contest(contenders, Plan(rounds=2, seconds=0.0))
    assert {what: {peer: len(samples) for peer, samples in by.items()} for what, by in figures.items()} == {
        what: {"a": 2, "b": 2} for what in ("stream", "unary")
    }
    there = [("stream", "a"), ("stream", "b"), ("unary", "a"), ("unary", "b")]
    measured = [(what, peer) for peer, what, _ in runs[-8:]]
    assert measured == [*there, *reversed(there)]
