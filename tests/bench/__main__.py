"""What a message costs, compared with other implementations for Python: ``python -m tests.bench [--quick]``.

Whatever is measured runs in a process of its own on the first core, its load on the others; peers take turns, round by
round, so that a change in the machine's speed affects all of them. What counts is the CPU time of the process under
test for each message or call, as a ratio, round by round: absolute times hold only for this machine and this moment.

The report is Markdown on standard output; progress goes to standard error. A whole run also writes ``results.md``, its
picture and the tables of the README (``--no-write``: it does not). While you optimise, measure little, often:

    python -m tests.bench --only unary,unary-mesh,stream,pingpong,fanout,idle,client --peers ours,grpclib --rounds 3

Where to look: `servers`, `calling`, `relays`, `telemetry`, `growth` and `memory` measure; `peers`, `clients` and
`gateways` are measured; `raw_http2`, `raw_calls` and `raw_websocket` make the load; `figures` takes samples,
`selection` says which, `quiet` whether the machine was; `goals`, `report`, `plot` and `publish` present the results.
"""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.bench import plot, publish, report, selection
from tests.bench.figures import progress
from tests.bench.peers import PEERS
from tests.bench.processes import LOAD_CORES
from tests.bench.quiet import Others
from tests.bench.results import Results


def main() -> None:
    arguments = parse()
    results = Results.load(arguments.again.read_text()) if arguments.again else measure(arguments)
    if arguments.json:  # First of all: what was measured is not to be lost.
        arguments.json.write_text(results.dump())
    if arguments.plot:
        plot.draw(results, arguments.plot)
    if arguments.write:
        for path in publish.publish(results):
            print(f"written: {path}", file=sys.stderr)
    print(report.brief(results) if arguments.only else report.markdown(results), end="")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="shorter samples, fewer rounds: within two minutes")
    add("--only", type=names(selection.figures), metavar="FIGURE,...", help=f"only some, in short: {only()}")
    add("--peers", type=names(selection.peers), metavar="PEER,...", help=f"of {', '.join(selection.NICKNAMES)}")
    add("--rounds", type=int, metavar="N", help="how often each figure is taken")
    add("--json", type=Path, metavar="PATH", help="write every sample there")
    add("--plot", type=Path, metavar="PATH", help="draw the results there, as SVG")
    add("--again", type=Path, metavar="PATH", help="measure nothing: report what --json wrote there")
    add("--write", action=argparse.BooleanOptionalAction, help="write results.md, its picture and the README's tables")
    arguments = parser.parse_args()
    part = bool(arguments.only or arguments.peers)
    if arguments.write and part:
        parser.error("--write needs a whole run, without --only and --peers")
    if arguments.write is None:
        arguments.write = not (part or arguments.quick or arguments.rounds or arguments.again)
    return arguments


def names(read: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """The same, raising what makes argparse show the reason."""

    def argument(text: str) -> list[str]:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return argument


def only() -> str:
    parts = (f"{part} ({', '.join(figures)})" for part, figures in selection.PARTS.items())
    return "; ".join(parts)


def measure(arguments: argparse.Namespace) -> Results:
    """Run what was asked for, with this process, which is the load, on the load's cores."""
    scale = selection.QUICK if arguments.quick or arguments.only else selection.FULL
    if arguments.rounds:
        scale = replace(scale, plan=replace(scale.plan, rounds=arguments.rounds))
    os.sched_setaffinity(0, LOAD_CORES)
    gc.disable()  # Collecting our own garbage would show in the latencies of others.
    wanted, peers = arguments.only or selection.FIGURES, arguments.peers or PEERS
    with Others() as others:
        results = selection.measure(scale, wanted, peers)
    results.others = others.cores
    progress("")
    return results


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
