"""What a program does when its clients ask for all it can do: CPU for each item, and items a second.

Each load is a process of its own, with one connection. With one worker, it has a core and the load the others; with
more workers they share the cores with the load, so the rate is that of a machine that also generates its own load.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

from tests.bench.figures import progress
from tests.bench.fleet import BURST, Fleet
from tests.bench.gateways import ROUTE
from tests.bench.peers import BIDIRECTIONAL, GET_REPLY
from tests.bench.programs import Program
from tests.bench.raw_calls import RawCalls
from tests.bench.raw_http2 import RawConnection
from tests.bench.raw_websocket import RawWebSocket
from tests.bench.relays import MESSAGE as TEXT
from tests.bench.servers import CONCURRENT, MESSAGE, STREAM_MESSAGE

CALLS: Final = "unary calls, twenty at a time"
STREAMED: Final = "messages on one stream"
SPREAD: Final = "messages on a hundred streams, one on each at a time"
RELAYED: Final = "messages on a WebSocket"
RELAYED_ALONE: Final = "messages on a WebSocket, one at a time"

Batch = Callable[[], int]
"""Does some items; how many."""


@dataclass(frozen=True)
class Rate:
    """What was done under one load.

    Attributes:
        cost: CPU time of the program for each item, in microseconds.
        per_second: Items a second.
        busy: Cores that the program kept busy.
        behind: CPU time of the server behind the program for each item, in microseconds, if there is one.
    """

    cost: float
    per_second: float
    busy: float
    behind: float = 0.0


def _calls(port: int, stack: ExitStack) -> Batch:
    connection = stack.enter_context(RawCalls(port, GET_REPLY, MESSAGE))
    return lambda: len(connection.calls(400, concurrent=CONCURRENT).latencies)


def _streamed(port: int, stack: ExitStack) -> Batch:
    connection = stack.enter_context(RawConnection(port, BIDIRECTIONAL, STREAM_MESSAGE))

    def pour() -> int:
        connection.pour(2_000)
        return 2_000

    return pour


def _spread(port: int, stack: ExitStack) -> Batch:
    fleet = stack.enter_context(Fleet(port))
    fleet.grow(BURST)

    def bursts() -> int:
        fleet.bursts(4 * BURST)
        return 4 * BURST

    return bursts


def _relayed(port: int, stack: ExitStack) -> Batch:
    websocket = stack.enter_context(RawWebSocket(port, ROUTE, TEXT))

    def pour() -> int:
        websocket.pour(500)
        return 500

    return pour


def _relayed_alone(port: int, stack: ExitStack) -> Batch:
    websocket = stack.enter_context(RawWebSocket(port, ROUTE, TEXT))
    return lambda: len(websocket.ping_pong(100))


LOADS: Final[dict[str, Callable[[int, ExitStack], Batch]]] = {
    CALLS: _calls,
    STREAMED: _streamed,
    SPREAD: _spread,
    RELAYED: _relayed,
    RELAYED_ALONE: _relayed_alone,
}
OF_SERVER: Final = (CALLS, STREAMED, SPREAD)
OF_GATEWAY: Final = (RELAYED, RELAYED_ALONE)


def hammer(load: str, port: int, seconds: float, cores: set[int]) -> tuple[int, float]:
    """For as long, one batch after the other: how many items, and how many of them a second."""
    os.sched_setaffinity(0, cores)
    with ExitStack() as stack:
        batch = LOADS[load](port, stack)
        began, items = time.monotonic(), 0
        while time.monotonic() < began + seconds:
            items += batch()
        return items, items / (time.monotonic() - began)


def saturate(
    program: Program, load: str, *, loads: int, seconds: float, cores: set[int], behind: Program | None = None
) -> Rate:
    """Put a program under as many loads at once."""
    progress(f"{load}: {loads} at once")
    with ProcessPoolExecutor(loads, mp_context=get_context("spawn")) as processes:
        list(processes.map(hammer, [load] * loads, [program.port] * loads, [0.2] * loads, [cores] * loads))
        cpu, began = program.cpu_ns(), time.monotonic_ns()
        cpu_behind = behind.cpu_ns() if behind else 0
        done = processes.map(hammer, [load] * loads, [program.port] * loads, [seconds] * loads, [cores] * loads)
        counts, rates = zip(*done, strict=True)
        spent, elapsed = program.cpu_ns() - cpu, time.monotonic_ns() - began
        spent_behind = behind.cpu_ns() - cpu_behind if behind else 0
    return Rate(spent / sum(counts) / 1e3, sum(rates), spent / elapsed, spent_behind / sum(counts) / 1e3)
