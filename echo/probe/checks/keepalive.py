"""`keepalive`: who answers our pings, and how often may we ping.

The server counts the pings that reach it. It has rules of its own, as gRPC servers have: the third ping too early with
no message in between is one too many. So where pings reach the server, we let it answer a message after every third;
whoever still complains is a hop.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.check import Check, Company
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, limited, survived
from echo.probe.http2 import Http2
from echo.probe.path import Path
from echo.probe.talk import ANSWER, Talk
from echo.wire import ErrorCode

INTERVALS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)  # Seconds between pings.
FEWEST, MOST = 4, 12  # Pings at each interval.
PERMITTED: Final = 3  # Pings that a gRPC server takes between two messages of its own.


@dataclass
class Tolerated:
    """What came of pinging at one interval: how many pings it took until it was complained of; None if it was not."""

    complained: int | None = None


class Keepalive(Check):
    """Pings, at different intervals on different connections."""

    name = "keepalive"
    question = "Who answers our pings, and how often may we ping?"
    company = Company.WAITING
    patience = 15.0
    causes = ("unanswered", "too-many-pings")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        async with path.http2() as connection:
            talk = Talk(path, connection)
            if not await talk.say():
                return inconclusive("The call on the pinged connection was not answered.")
            before = await _pings(path, talk, 0)
            seconds = await _ping(connection)
            if seconds is None:
                seconds = await _ping(connection)  # Once may be an accident.
            if seconds is None and await talk.say():
                what = f"Nobody answers our pings within {ANSWER:g} s, while calls on the same connection are answered."
                return broken("unanswered", what)
            if seconds is None:
                return inconclusive("The connection was lost while we pinged.")
            after = None if before is None else await _pings(path, talk, before + 1)
        reaches = None if before is None or after is None else after > before
        intervals = [interval for interval in INTERVALS if interval * FEWEST <= path.budget.idle] or [INTERVALS[0]]
        tolerated = {interval: Tolerated() for interval in intervals}
        async with trio.open_nursery() as nursery:
            for interval, what_came in tolerated.items():
                nursery.start_soon(_try, path, interval, what_came, reaches is not False)
        return _judged(reaches, seconds, tolerated)


def _judged(reaches: bool | None, seconds: float, tolerated: Mapping[float, Tolerated]) -> Finding:
    who = {True: "the server", False: "a hop", None: "unknown"}[reaches]
    complained: dict[str, JsonValue] = {f"{interval:g} s": came.complained for interval, came in tolerated.items()}
    details: Mapping[str, JsonValue] = {
        "answered_by": who,
        "seconds": round(seconds, 6),
        "complained_after": complained,
    }
    refused = max((interval for interval, came in tolerated.items() if came.complained is not None), default=0.0)
    fine = min((interval for interval in tolerated if interval > refused), default=None)
    if refused and fine is None:
        pings = tolerated[refused].complained
        what = f"The path closes a connection that is pinged every {refused:g} s, after {pings} pings."
        return broken("too-many-pings", what, details=details)
    if refused and fine is not None:
        what = f"The path closes a connection that is pinged every {refused:g} s, but bears it every {fine:g} s."
        return limited("too-many-pings", what, limit=60 / fine, unit="pings a minute", details=details)
    if reaches is None:
        return inconclusive("Our pings are answered, but by whom cannot be seen; --direct would help.", details=details)
    if reaches:
        return survived("Our pings reach the server and are answered by it.", details=details)
    what = "Our pings are answered by a hop, so they tell nothing of the connection between it and the server."
    return survived(what, details=details)


async def _try(path: Path, interval: float, came: Tolerated, heed: bool) -> None:
    """Ping at an interval; ``heed`` the rules of the server."""
    count = max(FEWEST, min(MOST, int(path.budget.idle / interval)))
    async with path.http2() as connection:
        talk = Talk(path, connection)
        for number in range(count):
            if not number or (heed and number % PERMITTED == 0):
                await talk.say()
            await _ping(connection)
            if _complains(connection):
                came.complained = number + 1
                return
            with trio.move_on_after(interval):
                await connection.until(lambda: _complains(connection))
            if _complains(connection):
                came.complained = number + 1
                return
            if connection.ended:
                return  # For another reason, which is not ours to tell.


def _complains(connection: Http2) -> bool:
    return any(goaway.code == ErrorCode.ENHANCE_YOUR_CALM for goaway in connection.goaways)


async def _ping(connection: Http2) -> float | None:
    """Seconds until a ping is answered; None if it is not."""
    with trio.move_on_after(ANSWER):
        return await connection.ping()
    return None


async def _pings(path: Path, talk: Talk, least: int) -> int | None:
    """How many pings the server has counted on the connection of a call, waiting a bit for so many."""
    records = await path.evidence(talk.call_id, until=lambda record: record.pings_in >= least, within=1.0)
    return records[-1].pings_in if records else None
