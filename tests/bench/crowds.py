"""Many sockets that are open and idle, and what holding them costs: memory, CPU, and the opening of each."""

import selectors
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Self

from tests.bench.figures import progress
from tests.bench.fleet import Fleet
from tests.bench.gateways import ROUTE
from tests.bench.peers import GET_REPLY
from tests.bench.programs import Program
from tests.bench.raw_calls import RawCalls
from tests.bench.raw_websocket import RawWebSocket
from tests.bench.relays import MESSAGE
from tests.bench.servers import MESSAGE as REQUEST

BATCH: Final = 250  # WebSockets opened between two looks for pings.


@dataclass(frozen=True)
class Held:
    """What one worker held.

    Attributes:
        count: How many, at most.
        memory: Bytes for each, by how the process grew from few to many.
        opening: CPU time for opening each and using it once, in microseconds.
        idle: CPU time for each and for each second that it is idle, in microseconds.
        total: Resident bytes of the process with all of them.
    """

    count: int
    memory: float
    opening: float
    idle: float
    total: int


@dataclass(frozen=True)
class Span:
    """From how many to how many, and for how many seconds they are idle then."""

    few: int
    many: int
    seconds: float


class WebSockets:
    """WebSockets that have each echoed a message, and answer pings while they are attended to. Leave to close them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stack = ExitStack()
        self._selector = self._stack.enter_context(selectors.DefaultSelector())
        self._opened = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def grow(self, count: int) -> None:
        """Open more, until there are as many."""
        while self._opened < count:
            websocket = self._stack.enter_context(RawWebSocket(self._port, ROUTE, MESSAGE))
            websocket.exchange()
            self._selector.register(websocket, selectors.EVENT_READ, websocket)
            self._opened += 1
            if not self._opened % BATCH:
                self.idle(0)

    def idle(self, seconds: float) -> None:
        """Do nothing but answer pings."""
        end = time.monotonic() + seconds
        while True:
            ready = self._selector.select(max(end - time.monotonic(), 0))
            for key, _ in ready:
                key.data.answer()
            if not ready and time.monotonic() >= end:
                return


class Connections:
    """HTTP/2 connections that have each made a call, and are idle. Leave to close them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stack = ExitStack()
        self._opened = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def grow(self, count: int) -> None:
        """Open more, until there are as many."""
        for _ in range(count - self._opened):
            self._stack.enter_context(RawCalls(self._port, GET_REPLY, REQUEST))
        self._opened = count


def connections(server: Program, span: Span) -> Held:
    """Idle HTTP/2 connections of the server."""
    progress(f"{span.many:,} idle connections")
    with Connections(server.port) as crowd:
        return held(server, span, crowd.grow, time.sleep)


def streams(server: Program, span: Span) -> Held:
    """Open streams of the server, a hundred to a connection."""
    progress(f"{span.many:,} open streams")
    with Fleet(server.port) as fleet:
        return held(server, span, fleet.grow, time.sleep)


def websockets(gateway: Program, span: Span) -> Held:
    """Open WebSockets of the gateway, each with a call to the server behind it; pings included."""
    progress(f"{span.many:,} open WebSockets")
    with WebSockets(gateway.port) as crowd:
        return held(gateway, span, crowd.grow, crowd.idle)


def held(program: Program, span: Span, grow: Callable[[int], None], idle: Callable[[float], None]) -> Held:
    """Grow from few to many, then be idle."""
    grow(span.few)
    few, cpu_few = program.memory(), program.cpu_ns()
    grow(span.many)
    many, cpu_many = program.memory(), program.cpu_ns()
    idle(span.seconds)
    spent = program.cpu_ns() - cpu_many
    more = span.many - span.few
    return Held(
        count=span.many,
        memory=(many - few) / more,
        opening=(cpu_many - cpu_few) / more / 1e3,
        idle=spent / span.many / span.seconds / 1e3,
        total=program.memory(),
    )
