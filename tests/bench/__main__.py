"""What a message costs, side by side with what else Python has: ``python -m tests.bench [--quick]``.

Whatever is measured runs in a process of its own on the first core, its load on the others; peers take turns, round by
round, so that a change of the machine's mood hits them all. What counts is the CPU time of the process under test for
each message or call, and of that the ratio: absolute times are of this machine, and of this moment.

The report is Markdown on standard output; progress goes to standard error. Where to look: `servers`, `calling`,
`relays`, `growth` and `memory` measure; `peers`, `clients` and `gateways` are measured; `raw_http2`, `raw_websocket`
and `h2load` make the load; `figures` takes samples; `goals`, `report` and `plot` tell.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench import calling, growth, h2load, memory, plot, relays, report, servers
from tests.bench.figures import Plan, progress
from tests.bench.processes import LOAD_CORES
from tests.bench.results import Results


@dataclass(frozen=True)
class Scale:
    """How thorough a run is."""

    plan: Plan
    levels: tuple[int, ...]
    span: memory.Span


QUICK: Final = Scale(Plan(rounds=3, seconds=0.25), growth.LEVELS, memory.QUICK)
FULL: Final = Scale(Plan(rounds=5, seconds=0.8), growth.FULL_LEVELS, memory.FULL)

PARTS: Final[dict[str, Callable[[Results, Scale], None]]] = {
    "servers": lambda results, scale: results.servers.update(servers.measure(scale.plan)),
    "clients": lambda results, scale: results.clients.update(calling.measure(scale.plan)),
    "gateways": lambda results, scale: results.gateways.update(relays.measure(scale.plan)),
    "growth": lambda results, scale: results.growth.update(growth.measure(scale.plan, scale.levels)),
    "memory": lambda results, scale: results.memory.update(memory.measure(scale.span)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="shorter samples, fewer rounds: within two minutes")
    parser.add_argument("--only", choices=PARTS, nargs="+", metavar="PART", help=f"some parts of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample there")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="draw the results there, as SVG")
    parser.add_argument("--again", type=Path, metavar="PATH", help="measure nothing: report what --json wrote there")
    arguments = parser.parse_args()
    if arguments.again:
        results = Results.load(arguments.again.read_text())
    else:
        results = measure(QUICK if arguments.quick else FULL, arguments.only or list(PARTS))
    if arguments.json:
        arguments.json.write_text(results.dump())
    if arguments.plot:
        plot.draw(results, arguments.plot)
    print(report.markdown(results), end="")


def measure(scale: Scale, parts: list[str]) -> Results:
    """Run these parts, with this process, which is the load, on the load's cores."""
    os.sched_setaffinity(0, LOAD_CORES)
    if not h2load.AVAILABLE:
        print("h2load is not there (Debian: nghttp2-client): no unary calls to servers", file=sys.stderr)
    results = Results()
    for part in parts:
        PARTS[part](results, scale)
    progress("")
    return results


if __name__ == "__main__":
    main()
