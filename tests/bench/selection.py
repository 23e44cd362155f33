"""Which parts of the benchmark run: short names for its figures, its peers, and how thorough it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tests.bench import calling, growth, memory, relays, servers, telemetry
from tests.bench.clients import CLIENTS
from tests.bench.figures import Plan
from tests.bench.goals import GRPCIO, GRPCLIB
from tests.bench.peers import PEERS
from tests.bench.results import OURS, Results

FIGURES: Final[dict[str, tuple[str, ...]]] = {
    "unary": (servers.UNARY,),
    "unary-mesh": (servers.UNARY, servers.UNARY_MESH),
    "unary-table": (servers.UNARY, servers.UNARY_MESH, servers.UNARY_TABLE),
    "unary-alone": (servers.UNARY_ALONE,),
    "stream": (servers.STREAMED,),
    "stream-few": (servers.FEW,),
    "pingpong": (servers.PING_PONG,),
    "client": (calling.UNARY,),
    "client-stream": (calling.STREAMED,),
    "client-pingpong": (calling.PING_PONG,),
    "relay": (relays.RELAYED,),
    "relay-pingpong": (relays.PING_PONG,),
    "fanout": (growth.BURSTS,),
    "growth": (growth.ROUND, growth.NEIGHBOURS),
    "idle": (memory.STREAM,),
    "idle-websocket": (memory.WEBSOCKET,),
    "telemetry-stream": (telemetry.STREAMED,),
    "telemetry-unary": (telemetry.UNARY,),
    "telemetry-mesh": (telemetry.MESH,),
}
"""By its short name, what is measured."""

PARTS: Final[dict[str, tuple[str, ...]]] = {
    "servers": ("unary", "unary-mesh", "unary-table", "unary-alone", "stream", "stream-few", "pingpong"),
    "clients": ("client", "client-stream", "client-pingpong"),
    "gateways": ("relay", "relay-pingpong"),
    "open-streams": ("fanout", "growth"),
    "memory": ("idle", "idle-websocket"),
    "telemetry": ("telemetry-stream", "telemetry-unary", "telemetry-mesh"),
}
"""Figures that are measured together, by processes that are started once."""

NICKNAMES: Final = {
    "ours": OURS,
    "asyncio": f"{OURS} on asyncio",
    "grpclib": GRPCLIB,
    "betterproto": "grpclib + betterproto",
    "grpcio": GRPCIO,
}


@dataclass(frozen=True)
class Scale:
    """How thorough a run is.

    Attributes:
        plan: Rounds and samples.
        levels: Numbers of open streams.
        span: From how many to how many idle ones memory is measured.
    """

    plan: Plan
    levels: tuple[int, ...]
    span: memory.Span


FULL: Final = Scale(Plan(rounds=9, seconds=0.6), growth.LEVELS, memory.FULL)
QUICK: Final = Scale(Plan(rounds=3, seconds=0.25), (1, 100, 1_000, 10_000), memory.QUICK)


def figures(text: str) -> list[str]:
    """Short names out of a list with commas; a part stands for all of its own. Raises ValueError."""
    return [name for word in text.split(",") for name in PARTS.get(word) or [_known(word, FIGURES)]]


def peers(text: str) -> list[str]:
    """Peers out of a list with commas, ours first in any case. Raises ValueError."""
    found = [NICKNAMES[_known(word, NICKNAMES)] for word in text.split(",")]
    return [OURS, *(name for name in found if name != OURS)]


def _known(word: str, known: Iterable[str]) -> str:
    if word not in known:
        raise ValueError(f"{word!r} is not one of {', '.join(known)}")
    return word


def measure(scale: Scale, wanted: Iterable[str] = tuple(FIGURES), names: Iterable[str] = tuple(PEERS)) -> Results:
    """Measure these figures, by their short names, of these peers; of gateways all, and telemetry only of ours."""
    chosen = set(wanted)
    what = {
        part: [load for name in all_of if name in chosen for load in FIGURES[name]] for part, all_of in PARTS.items()
    }
    servers_named = [name for name in PEERS if name in set(names)]
    clients_named = [name for name in CLIENTS if name in set(names)]
    levels = [level for level in scale.levels if level <= 1_000 or "growth" in chosen]
    results = Results()
    if loads := what["servers"]:
        results.servers.update(servers.measure(scale.plan, servers_named, loads))
    if loads := what["clients"]:
        results.clients.update(calling.measure(scale.plan, clients_named, loads))
    if loads := what["gateways"]:
        results.gateways.update(relays.measure(scale.plan, loads))
    if loads := what["open-streams"]:
        results.growth.update(growth.measure(scale.plan, levels, loads))
    if loads := what["telemetry"]:
        results.telemetry.update(telemetry.measure(scale.plan, loads))
    if held := what["memory"]:
        results.memory.update(memory.measure(scale.span, servers_named, what=held))
    return results
