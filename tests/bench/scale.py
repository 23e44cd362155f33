"""What one worker holds, and how it grows with workers: ``python -m tests.bench.scale [--quick] [--workers N,...]``.

echo's own programs, as they are deployed: the server and the gateway in front of it. Prints tables in Markdown, and
writes them, with what follows from them for a million WebSockets and 100,000 calls/s, into docs/pages/scale.md. Nothing
else should run meanwhile; the tables show what did. See `saturation`, `crowds`, `capacity`.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.bench import crowds, programs, saturation
from tests.bench.capacity import CONNECTIONS, STREAMS, WEBSOCKETS, Measured, markdown
from tests.bench.crowds import Span
from tests.bench.processes import LOAD_CORES, SERVER_CORES
from tests.bench.quiet import Others
from tests.bench.saturation import OF_GATEWAY, OF_SERVER, Rate
from tests.support.pages import put

COMMAND: Final = "python -m tests.bench.scale"
PAGE: Final = Path(__file__).parents[2] / "docs/pages/scale.md"


@dataclass(frozen=True)
class Plan:
    """How thorough a run is.

    Attributes:
        rounds: Samples of each rate, of which the median counts.
        seconds: How long each takes.
        spans: Of what is held, from how many to how many, and how long it is idle.
    """

    rounds: int
    seconds: float
    spans: dict[str, Span]


# WebSockets are pinged every 27 s: the idle time of all of them holds a whole number of rounds, as good as.
FULL: Final = Plan(
    3, 3, {CONNECTIONS: Span(500, 5_000, 10), STREAMS: Span(1_000, 10_000, 10), WEBSOCKETS: Span(1_000, 12_000, 54)}
)
QUICK: Final = Plan(
    1, 0.5, {CONNECTIONS: Span(50, 250, 0.5), STREAMS: Span(100, 500, 0.5), WEBSOCKETS: Span(50, 250, 0.5)}
)


def main() -> None:
    arguments = parse()
    measured = Measured.load(arguments.again.read_text()) if arguments.again else Measured()
    if not arguments.again:
        with Others() as others:
            measure(measured, QUICK if arguments.quick else FULL, arguments.workers)
        measured.others = others.cores
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(measured), indent=1))
    text = markdown(measured)
    if arguments.write:
        put(text, COMMAND, PAGE)
    print(text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="little of everything, to see that it runs; writes nothing")
    add("--workers", type=numbers, default=[1], metavar="N,...", help="how many workers rates are measured with")
    add("--json", type=Path, metavar="PATH", help="write all that was found there")
    add("--again", type=Path, metavar="PATH", help="measure nothing: report what --json wrote there")
    add("--write", action=argparse.BooleanOptionalAction, help="write it into docs/pages/scale.md")
    arguments = parser.parse_args()
    if arguments.write is None:
        arguments.write = not arguments.quick
    return arguments


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def measure(measured: Measured, plan: Plan, workers: Iterable[int]) -> None:
    """Everything, in this process on the load's cores."""
    os.sched_setaffinity(0, LOAD_CORES)
    for count in workers:
        measured.rates[count] = rates(plan, count)
    with programs.serve() as server:
        measured.bases["server"] = server.memory()
        measured.held[CONNECTIONS] = crowds.connections(server, plan.spans[CONNECTIONS])
    with programs.serve() as server:
        measured.held[STREAMS] = crowds.streams(server, plan.spans[STREAMS])
    with programs.serve(cores=LOAD_CORES) as server, programs.gateway(server.port) as gateway:
        measured.bases["gateway"] = gateway.memory()
        measured.held[WEBSOCKETS] = crowds.websockets(gateway, plan.spans[WEBSOCKETS])


def rates(plan: Plan, workers: int) -> dict[str, Rate]:
    """Each load on so many workers: of the server, then of the gateway, whose server has the load's cores."""
    found: dict[str, Rate] = {}
    everywhere = SERVER_CORES | LOAD_CORES
    own, others = (SERVER_CORES, LOAD_CORES) if workers == 1 else (everywhere, everywhere)
    with programs.serve(workers=workers, cores=own) as server:
        for load in OF_SERVER:
            samples = [
                saturation.saturate(server, load, loads=workers, seconds=plan.seconds, cores=others)
                for _ in range(plan.rounds)
            ]
            found[load] = middle(samples)
    with (
        programs.serve(workers=workers, cores=others) as server,
        programs.gateway(server.port, workers=workers, cores=own) as gateway,
    ):
        for load in OF_GATEWAY:
            samples = [
                saturation.saturate(gateway, load, loads=workers, seconds=plan.seconds, cores=others, behind=server)
                for _ in range(plan.rounds)
            ]
            found[load] = middle(samples)
    return found


def middle(samples: list[Rate]) -> Rate:
    """The median of each figure."""
    return Rate(
        cost=statistics.median(sample.cost for sample in samples),
        per_second=statistics.median(sample.per_second for sample in samples),
        busy=statistics.median(sample.busy for sample in samples),
        behind=statistics.median(sample.behind for sample in samples),
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
