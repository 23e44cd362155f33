"""How connections spread over a hundred pods: ``python -m tests.scale [--no-write] [--json PATH]``.

Channels, balancer and servers are echo's own; only sockets, names and time are simulated. In each scenario some hundred
connections live through an hour and more. Prints tables in Markdown, and writes them into docs/pages/scale.md.
"""

import argparse
import json
import signal
import sys
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Final

from tests.scale.scenarios import Clients, Scenario, Seen, Size, Way, restart, run, scale_up
from tests.scale.table import Found, markdown
from tests.support.pages import put

COMMAND: Final = "python -m tests.scale"
PAGE: Final = Path(__file__).parents[2] / "docs/pages/scale.md"
SCENARIOS: Final[dict[str, Scenario]] = {"restart": restart, "scale-up": scale_up}
AGE: Final = 30 * 60.0
WAYS: Final = (
    Way("pick_first", "same for all", None),
    Way("pick_first", "same for all", AGE),
    Way("pick_first", "shuffled", None),
    Way("pick_first", "shuffled", AGE),
    Way("round_robin", "shuffled", None),
    Way("round_robin", "shuffled", AGE),
)
# A client has 64 connections with round_robin, and one with pick_first. The ages vary by a tenth: all are over later.
SIZE: Final = Size(100, {"pick_first": Clients(250, every=60), "round_robin": Clients(25, every=15)}, wait=35 * 60)


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write what was seen there, minute by minute")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True, help="write it into the page")
    arguments = parser.parse_args()
    found = simulate()
    if arguments.json:
        arguments.json.write_text(json.dumps(listed(found), indent=1))
    text = markdown(found, SIZE)
    if arguments.write:
        put(text, COMMAND, PAGE)
    print(text)
    lost = {loss for ways in found.values() for seen in ways.values() for loss in seen.lost}
    if lost:
        sys.exit(f"calls were lost: {', '.join(sorted(lost))}")


def simulate() -> Found:
    """All scenarios, each in a process of its own."""
    # Ctrl-C ends the processes at once.
    with ProcessPoolExecutor(initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL)) as processes:
        futures: dict[tuple[str, Way], Future[Seen]] = {
            (name, way): processes.submit(run, SCENARIOS[name], way, SIZE) for name, way in product(SCENARIOS, WAYS)
        }
        for future in as_completed(futures.values()):
            future.result()
            print(f"{sum(map(Future.done, futures.values()))} of {len(futures)} scenarios are over", file=sys.stderr)
        return {name: {way: futures[name, way].result() for way in WAYS} for name in SCENARIOS}


def listed(found: Found) -> list[dict[str, object]]:
    return [
        {"scenario": name, **asdict(way), **asdict(seen)} for name, ways in found.items() for way, seen in ways.items()
    ]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
