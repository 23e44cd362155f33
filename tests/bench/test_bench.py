"""The benchmark: its peers do what they are compared in, its generators agree about it, and its tables say it."""

from collections.abc import Iterator

import pytest
import trio

from tests.bench import h2load, relays, report
from tests.bench.figures import Sample, percentile
from tests.bench.gateways import BACKEND, GATEWAYS, ROUTE
from tests.bench.peers import BIDIRECTIONAL, PEERS
from tests.bench.processes import child
from tests.bench.raw_http2 import RawConnection
from tests.bench.raw_websocket import RawWebSocket
from tests.bench.servers import STREAM_MESSAGE, check, unary


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_answers_alike(name: str) -> None:
    with child("tests.bench.peers", name) as server:
        trio.run(check, server.port)
        with RawConnection(server.port, BIDIRECTIONAL, STREAM_MESSAGE, streams=3) as connection:
            connection.pour(600)
            connection.ping_pong(4)
            connection.burst(connection.streams * 2)
            connection.finish()
        if h2load.AVAILABLE:
            assert len(unary(server.port, 4, 20).latencies) == 20
        assert server.cpu_ns() > 0


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


def sample(cost: float, p50: float = 0.0) -> Sample:
    return Sample(cost, rate=1e6 / cost, busy=0.99, load=0.2, p50=p50, p99=p50 * 2)


FIGURES = {
    "call": {"echo": [sample(10), sample(30), sample(20)], "other": [sample(30, 7), sample(30, 8), sample(30, 9)]}
}


def test_ratios_are_of_medians_to_ours() -> None:
    assert report.ratios(FIGURES, "echo").splitlines() == [
        "| CPU for each | echo | other |",
        "| --- | --- | --- |",
        "| call | 1.00 | 1.50 |",
    ]


def test_details_give_range_rate_latency_and_who_was_busy() -> None:
    assert report.details(FIGURES).splitlines()[2:] == [
        "| call | echo | 20.0 (10.0-30.0) | 50,000 |  |  | 99% | 20% |",
        "| call | other | 30.0 (30.0-30.0) | 33,333 | 8 | 16 | 99% | 20% |",
    ]
