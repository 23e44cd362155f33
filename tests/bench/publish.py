"""A whole run put where people read it: ``results.md`` and its picture here, and the tables of the README.

In the README, everything between two comments is replaced. The words around them are written by hand, and have to be
revised when a run contradicts them.
"""

import re
import textwrap
from pathlib import Path
from typing import Final

from tests.bench import calling, memory, plot, relays, report, servers
from tests.bench.figures import Figures, median, ratio
from tests.bench.goals import GATEWAY_PEER, GRPCIO, GRPCLIB, KIB
from tests.bench.results import OURS, Results

ROOT: Final = Path(__file__).parents[2]
BEGIN: Final = "<!-- bench: what follows is written by `just bench` -->"
END: Final = "<!-- /bench -->"
WIDTH: Final = 120

PEERS: Final = (OURS, GRPCLIB, "grpclib + betterproto", GRPCIO)
GATEWAYS: Final = (OURS, GATEWAY_PEER, "Hypercorn on trio, no relay")


def publish(results: Results, root: Path = ROOT) -> list[Path]:
    """Write a whole run down; the files that were written.

    Raises:
        ValueError: The README has not exactly one place for it. Nothing was written then.
        KeyError: Something was not measured. Nothing was written then.
    """
    about = root / "README.md"
    words = readme(about.read_text(), results)
    everything, picture = root / "tests/bench/results.md", root / "tests/bench/results.svg"
    about.write_text(words)
    everything.write_text("# The results of a run\n\nMade by `just bench`.\n\n" + report.markdown(results))
    plot.draw(results, picture)
    return [about, everything, picture]


def readme(text: str, results: Results) -> str:
    """The README with this run's tables. Raises ValueError, KeyError."""
    place = re.compile(rf"^{re.escape(BEGIN)}\n.*?^{re.escape(END)}$", re.MULTILINE | re.DOTALL)
    if len(place.findall(text)) != 1:
        raise ValueError(f"the README needs one block from {BEGIN!r} to {END!r}")
    block = "\n\n".join([BEGIN, *tables(results), END])
    return place.sub(lambda _: block, text)


def tables(results: Results) -> list[str]:
    """What it was measured on, what messages cost, and the goals."""
    rows = [
        ("server: streamed message", results.servers, servers.STREAMED),
        ("server: unary call", results.servers, servers.UNARY),
        ("server: the same with deadline, request id and traceparent", results.servers, servers.UNARY_MESH),
        ("server: unary call, one at a time", results.servers, servers.UNARY_ALONE),
        ("server: ping-pong on a stream", results.servers, servers.PING_PONG),
        ("client: streamed message", results.clients, calling.STREAMED),
        ("client: unary call", results.clients, calling.UNARY),
    ]
    beside = [_head("CPU, as multiples of ours", PEERS)]
    beside += [_cost(label, figures, what, PEERS) for label, figures, what in rows]
    beside.append(_held("memory of an idle stream", results.memory[memory.STREAM], PEERS))
    relayed = [
        _head("gateway, as multiples of ours", GATEWAYS),
        _cost("CPU: relayed message", results.gateways, relays.RELAYED, GATEWAYS),
        _cost("CPU: ping-pong on a WebSocket", results.gateways, relays.PING_PONG, GATEWAYS),
        _held("memory of an idle WebSocket", results.memory[memory.WEBSOCKET], GATEWAYS),
    ]
    setting = textwrap.fill(f"A whole run, on {results.environment}:", WIDTH, break_on_hyphens=False)
    return [setting, *report.warnings(results), "\n".join(beside), "\n".join(relayed), report.goals(results)]


def _head(title: str, peers: tuple[str, ...]) -> str:
    return f"| {title} | {' | '.join(peers)} |\n|---|{'--:|' * len(peers)}"


def _cost(label: str, figures: Figures, what: str, peers: tuple[str, ...]) -> str:
    by_peer = figures[what]
    cost = median(by_peer[OURS], "cost")
    ours = f"1.00 ({cost:.0f} µs)" if cost >= 100 else f"1.00 ({cost:.1f} µs)"
    others = [f"{ratio(by_peer[peer], by_peer[OURS]):.2f}" for peer in peers[1:]]
    return f"| {' | '.join([label, ours, *others])} |"


def _held(label: str, sizes: dict[str, float], peers: tuple[str, ...]) -> str:
    others = [f"{sizes[peer] / sizes[OURS]:.2f}" for peer in peers[1:]]
    return f"| {' | '.join([label, f'1.00 ({sizes[OURS] / KIB:.1f} KiB)', *others])} |"
