# ruff: noqa: RUF001 - signs of multiplication and subtraction, as on the page.
"""The measuring of scale: the programs run, what is held is counted, and the arithmetic on the page is right."""

import json
from dataclasses import asdict

import pytest

from tests.bench import crowds, programs, saturation
from tests.bench.capacity import CONNECTIONS, STREAMS, WEBSOCKETS, Measured, markdown
from tests.bench.crowds import Held, Span
from tests.bench.processes import LOAD_CORES
from tests.bench.saturation import CALLS, LOADS, OF_GATEWAY, OF_SERVER, RELAYED_ALONE, Rate

MIB = 2**20


def measured() -> Measured:
    rates = dict.fromkeys(LOADS, Rate(cost=10, per_second=90_000, busy=0.9))
    rates |= {CALLS: Rate(60, 15_000, 0.9), RELAYED_ALONE: Rate(150, 3_000, 0.5, behind=60)}
    held = {
        CONNECTIONS: Held(5_000, 24 * 1024, 400, 0, 170 * MIB),
        STREAMS: Held(10_000, 6 * 1024, 50, 0, 110 * MIB),
        WEBSOCKETS: Held(5_000, 45 * 1024, 1_500, 5, 280 * MIB),
    }
    return Measured({1: rates, 2: rates}, held, {"server": 56 * MIB, "gateway": 68 * MIB}, others=0.5)


def test_pods_follow_from_what_was_measured() -> None:
    table = markdown(measured())
    # 546.4 MiB at 45 KiB each; 60 % of a second at 5 and 150 / 60 µs each.
    assert "| (0.6 × 1,024 MiB − 68 MiB) / 45.0 KiB | 12,434 |" in table
    assert "| 0.6 × 1,000,000 µs/s / (5.0 µs/s + 150 µs / 60 s) | 80,000 |" in table
    assert "| 1,000,000 / 12,400 | **81** |" in table
    assert "| 1,000,000 / 95,300 | **11** |" in table
    assert "| 0.6 × 1,000,000 µs/s / 60.0 µs | 10,000/s |" in table
    assert "| 100,000 / 10,000 | **10** |" in table


def test_a_machine_that_was_busy_is_reported() -> None:
    assert "0.5 of the cores busy meanwhile. Rates suffer from that" in markdown(measured())


def test_what_was_found_is_read_again() -> None:
    assert Measured.load(json.dumps(asdict(measured()))) == measured()


@pytest.mark.slow
def test_programs_are_measured_under_every_load_and_with_all_that_they_hold() -> None:
    span = Span(few=20, many=60, seconds=0.1)
    with programs.serve(cores=LOAD_CORES) as server, programs.gateway(server.port) as gateway:
        for load in OF_SERVER:
            rate = saturation.saturate(server, load, loads=2, seconds=0.1, cores=LOAD_CORES)
            assert rate.cost > 0
            assert rate.per_second > 0
        for load in OF_GATEWAY:
            rate = saturation.saturate(gateway, load, loads=1, seconds=0.1, cores=LOAD_CORES, behind=server)
            assert rate.cost > 0
            assert rate.behind > 0
        for hold, program in ((crowds.connections, server), (crowds.streams, server), (crowds.websockets, gateway)):
            held = hold(program, span)
            assert held.count == 60
            assert held.opening > 0
            assert held.total > MIB
