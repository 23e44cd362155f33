"""What a message costs our server as more and more streams are open: it should not matter."""

from collections.abc import Collection
from contextlib import ExitStack
from typing import Final

from tests.bench.figures import Contender, Figures, Plan, contest, timed
from tests.bench.fleet import Fleet
from tests.bench.processes import child

ROUND: Final = "one message at a time, on each stream in turn"
BURSTS: Final = "a hundred messages at once, spread over a hundred streams"
NEIGHBOURS: Final = "pipelined on one stream, the others idle"

LOADS: Final = (ROUND, NEIGHBOURS, BURSTS)

LEVELS: Final = (1, 10, 100, 1_000, 10_000)


def name(streams: int) -> str:
    """What a level is called in the figures."""
    return f"{streams:,}"


def measure(plan: Plan, levels: Collection[int] = LEVELS, what: Collection[str] = LOADS) -> Figures:
    """A server for each number of open streams. They take turns as peers do, under the same loads."""
    with ExitStack() as stack:
        contenders = []
        for streams in levels:
            server = stack.enter_context(child("tests.bench.peers", "echo"))
            fleet = stack.enter_context(Fleet(server.port))
            fleet.grow(streams)
            stack.callback(fleet.finish)
            loads = {
                ROUND: timed(fleet.ping_pong),
                NEIGHBOURS: timed(fleet.pour),
                BURSTS: timed(fleet.bursts),
            }
            chosen = {load: run for load, run in loads.items() if load in what}
            contenders.append(Contender(name(streams), server.cpu_ns, chosen))
        return contest(contenders, plan)
