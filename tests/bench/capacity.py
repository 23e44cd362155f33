# ruff: noqa: RUF001 - signs of multiplication and subtraction, for the page.
"""What a run of `tests.bench.scale` found, as Markdown, and what follows from it: how many pods a load takes."""

import json
import math
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.crowds import Held
from tests.bench.quiet import QUIET
from tests.bench.results import environment
from tests.bench.saturation import CALLS, RELAYED, RELAYED_ALONE, SPREAD, STREAMED, Rate

CONNECTIONS: Final = "idle HTTP/2 connection"
STREAMS: Final = "open stream"
WEBSOCKETS: Final = "open WebSocket"

MIB: Final = 1024 * 1024
USED: Final = 0.6  # Of a pod's CPU and memory, at most: the rest is for those of a pod that is gone, and for peaks.
MEMORY: Final = 1024  # MiB of a pod.
SOCKETS: Final = 1_000_000
CALLS_PER_SECOND: Final = 100_000
EVERY: Final = 60  # Seconds from a WebSocket's message, with its answer, to its next.

PACKAGES: Final = ("trio", "anyio", "jh2", "hypercorn", "protobuf")  # What has a part in it.

LABELS: Final = {
    CALLS: "server: unary calls, twenty at a time",
    STREAMED: "server: messages on one stream",
    SPREAD: "server: messages on a hundred streams",
    RELAYED: "gateway: messages on one WebSocket, many on the way",
    RELAYED_ALONE: "gateway: messages on one WebSocket, one at a time",
}


@dataclass
class Measured:
    """All that a run found.

    Attributes:
        rates: By number of workers, by load.
        held: By what one worker held.
        bases: Resident bytes of a worker that holds nothing: the server's, the gateway's.
        others: Cores that other programs kept busy meanwhile, on average.
        environment: Of the machine and the packages.
    """

    rates: dict[int, dict[str, Rate]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    bases: dict[str, int] = field(default_factory=dict)
    others: float = 0.0
    environment: str = field(default_factory=lambda: environment(PACKAGES))

    @classmethod
    def load(cls, text: str) -> "Measured":
        """The reverse of what ``--json`` writes."""
        fields: dict[str, Any] = json.loads(text)
        fields["rates"] = {
            int(workers): {load: Rate(**rate) for load, rate in by_load.items()}
            for workers, by_load in fields["rates"].items()
        }
        fields["held"] = {what: Held(**held) for what, held in fields["held"].items()}
        return cls(**fields)


def markdown(measured: Measured) -> str:
    """All tables."""
    parts = [_about(measured), _rates(measured), _held(measured)]
    if 1 in measured.rates:
        parts += ["### What that makes", _needs(measured)]
    return "\n\n".join(parts)


def _about(measured: Measured) -> str:
    busy = "" if measured.others <= QUIET else " Rates suffer from that; CPU time hardly does."
    return (
        f"Measured on {measured.environment}. Other programs kept {measured.others:.1f} of the cores busy"
        f" meanwhile.{busy}"
    )


def _rates(measured: Measured) -> str:
    counts = sorted(measured.rates)
    heads = [f"{count} worker{'s' if count > 1 else ''}: CPU each | a second | cores" for count in counts]
    lines = [f"| load | {' | '.join(heads)} |", f"|---|{'--:|--:|--:|' * len(counts)}"]
    for load, label in LABELS.items():
        rates = [measured.rates[count][load] for count in counts]
        cells = [f"{rate.cost:.1f} µs | {rate.per_second:,.0f} | {rate.busy:.2f}" for rate in rates]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _held(measured: Measured) -> str:
    lines = [
        "| one worker holds | of them | memory of each | CPU to open and use each | CPU of each while idle | process |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for what, held in measured.held.items():
        cells = [f"{held.count:,}", f"{held.memory / 1024:.1f} KiB", f"{held.opening:,.0f} µs"]
        lines.append(f"| {what} | {' | '.join(cells)} | {held.idle:.1f} µs/s | {held.total / MIB:,.0f} MiB |")
    bases = " and ".join(f"{base / MIB:.0f} MiB ({name})" for name, base in measured.bases.items())
    return "\n".join([*lines, "", f"A worker that holds nothing occupies {bases}."])


def _needs(measured: Measured) -> str:
    """Pods of one worker each, with the arithmetic."""
    rates, held = measured.rates[1], measured.held
    websocket, stream, relay = held[WEBSOCKETS], held[STREAMS], rates[RELAYED_ALONE]
    gateway_base, server_base = (measured.bases[name] / MIB for name in ("gateway", "server"))
    by_memory = _fit(gateway_base, websocket)
    by_cpu = USED * 1e6 / (websocket.idle + relay.cost / EVERY)
    per_gateway = _round(min(by_memory, by_cpu))
    streams_by_memory = _fit(server_base, stream)
    streams_by_cpu = USED * 1e6 / (stream.idle + relay.behind / EVERY)
    per_server = _round(min(streams_by_memory, streams_by_cpu))
    calls = USED * 1e6 / rates[CALLS].cost
    gateways = math.ceil(SOCKETS / per_gateway)
    rows = [
        (
            "WebSockets in a gateway's memory",
            f"({USED} × {MEMORY:,} MiB − {gateway_base:.0f} MiB) / {websocket.memory / 1024:.1f} KiB",
            f"{by_memory:,.0f}",
        ),
        (
            f"WebSockets by its CPU, pings and a message with its answer every {EVERY} s",
            f"{USED} × 1,000,000 µs/s / ({websocket.idle:.1f} µs/s + {relay.cost:.0f} µs / {EVERY} s)",
            f"{by_cpu:,.0f}",
        ),
        ("**gateway pods for 1 million WebSockets**", f"{SOCKETS:,} / {per_gateway:,}", f"**{gateways}**"),
        (
            "streams in a server's memory",
            f"({USED} × {MEMORY:,} MiB − {server_base:.0f} MiB) / {stream.memory / 1024:.1f} KiB",
            f"{streams_by_memory:,.0f}",
        ),
        (
            "streams by its CPU",
            f"{USED} × 1,000,000 µs/s / ({stream.idle:.1f} µs/s + {relay.behind:.0f} µs / {EVERY} s)",
            f"{streams_by_cpu:,.0f}",
        ),
        ("**server pods behind them**", f"{SOCKETS:,} / {per_server:,}", f"**{math.ceil(SOCKETS / per_server)}**"),
        (
            "all WebSockets opened again: seconds of each gateway's whole CPU",
            f"{per_gateway:,} × {websocket.opening:,.0f} µs",
            f"{per_gateway * websocket.opening / 1e6:.0f} s",
        ),
        ("unary calls of a server", f"{USED} × 1,000,000 µs/s / {rates[CALLS].cost:.1f} µs", f"{calls:,.0f}/s"),
        (
            "**server pods for 100,000 calls/s**",
            f"{CALLS_PER_SECOND:,} / {calls:,.0f}",
            f"**{math.ceil(CALLS_PER_SECOND / calls)}**",
        ),
    ]
    return "\n".join(["| what | arithmetic | |", "|---|---|--:|", *(f"| {' | '.join(row)} |" for row in rows)])


def _fit(base: float, held: Held) -> float:
    """How many fit into a pod's memory, less that of a worker that holds nothing, in MiB."""
    return (USED * MEMORY - base) * MIB / held.memory


def _round(count: float) -> int:
    """Down to hundreds: no more than that is known."""
    return int(count // 100 * 100)
