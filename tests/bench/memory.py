"""What an idle stream and an idle WebSocket hold in memory: resident bytes of the process, by how they grow.

Growth from many to many more, so that what the process needs anyway does not count. Each stream and socket has been
used once and then has nothing on the way.
"""

import re
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.figures import progress
from tests.bench.fleet import Fleet
from tests.bench.gateways import BACKEND, GATEWAYS, ROUTE
from tests.bench.peers import PEERS
from tests.bench.processes import LOAD_CORES, child
from tests.bench.raw_websocket import RawWebSocket
from tests.bench.relays import MESSAGE

STREAM: Final = "idle stream"
WEBSOCKET: Final = "idle WebSocket"

Growth = dict[str, dict[str, float]]
"""By what is held, by peer: bytes for each."""


@dataclass(frozen=True)
class Span:
    """From how many to how many growth is measured."""

    streams: tuple[int, int]
    websockets: tuple[int, int]


QUICK: Final = Span((500, 1_500), (200, 500))
FULL: Final = Span((1_000, 5_000), (500, 1_000))


def resident(pid: int) -> int:
    """Resident memory of a process in bytes, as its pages are, not as the kernel's per-core counters estimate it."""
    found = re.search(r"^Rss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def measure(
    span: Span,
    peers: Collection[str] = tuple(PEERS),
    gateways: Collection[str] = tuple(GATEWAYS),
    what: Collection[str] = (STREAM, WEBSOCKET),
) -> Growth:
    """Bytes for each idle stream, by server, and for each idle WebSocket, by gateway."""
    found: Growth = {}
    if STREAM in what:
        found[STREAM] = {name: idle_stream(name, *span.streams) for name in peers}
    if WEBSOCKET in what:
        found[WEBSOCKET] = {name: idle_websocket(name, *span.websockets) for name in gateways}
    return found


def idle_stream(name: str, few: int, many: int) -> float:
    """Bytes of the server for each stream between the two numbers, its share of the connection included."""
    progress(f"{name}: {many} idle streams")
    with child("tests.bench.peers", name) as server, Fleet(server.port) as fleet:
        return growth(server.pid, fleet.grow, few, many)


def idle_websocket(name: str, few: int, many: int) -> float:
    """Bytes of the gateway for each WebSocket between the two numbers, its call to the backend included."""
    progress(f"{name}: {many} idle WebSockets")
    with ExitStack() as stack:
        backend = stack.enter_context(child("tests.bench.gateways", BACKEND, cores=LOAD_CORES))
        gateway = stack.enter_context(child("tests.bench.gateways", name, str(backend.port)))
        opened = 0

        def grow(websockets: int) -> None:
            nonlocal opened
            for _ in range(websockets - opened):
                stack.enter_context(RawWebSocket(gateway.port, ROUTE, MESSAGE)).exchange()
            opened = websockets

        return growth(gateway.pid, grow, few, many)


def growth(pid: int, grow: Callable[[int], None], few: int, many: int) -> float:
    """Bytes for each thing that ``grow`` makes more of, between two numbers of them."""
    grow(few)
    before = resident(pid)
    grow(many)
    return (resident(pid) - before) / (many - few)
