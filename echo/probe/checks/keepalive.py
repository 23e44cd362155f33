"""`keepalive`: who answers our pings, and how often may we ping?

The server counts the pings that reach it. Like every gRPC server it has a limit: the third early ping without a message
in between is one too many. So if pings reach the server, we have it answer a message after every third one; if somebody
still complains, it is a hop. A connection with a silent call and no pings shows whether others were closed because of
their pings.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.check import Check, Scheduling
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, limited, survived
from echo.probe.http2 import Http2
from echo.probe.ladder import SLACK
from echo.probe.path import Path
from echo.probe.talk import ANSWER, Talk
from echo.wire import ErrorCode

INTERVALS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)  # Seconds between pings.
FEWEST, MOST = 4, 12  # Pings at each interval.
PERMITTED: Final = 3  # Pings that a gRPC server permits between two messages that it sends.


@dataclass
class Pinged:
    """The result of pinging at one interval.

    Attributes:
        pings: The number of pings after which they were no longer tolerated; 0 if they were.
        cause: How: one of the check's causes.
        closed: After how many seconds the connection was closed without notice; None if it was not.
    """

    pings: int = 0
    cause: str = ""
    closed: float | None = None


class Keepalive(Check):
    """Pings at different intervals, on different connections."""

    name = "keepalive"
    question = "Who answers our pings, and how often may we ping?"
    scheduling = Scheduling.WAITING
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
                seconds = await _ping(connection)  # A single loss may be an accident.
            if seconds is None and await Talk(path, connection).say():
                what = f"Nobody answers our pings within {ANSWER:g} s, while calls on the same connection are answered."
                return broken("unanswered", what, silent=True)
            if seconds is None:
                return inconclusive("The connection was lost while we pinged.")
            for _ in range(PERMITTED - 1):  # A hop may send pings of its own, but hardly as often.
                await _ping(connection)
            after = None if before is None else await _pings(path, talk, before + PERMITTED)
        reaches = None if before is None or after is None else after >= before + PERMITTED
        intervals = [interval for interval in INTERVALS if interval * FEWEST <= path.budget.idle] or [INTERVALS[0]]
        pinged = {interval: Pinged() for interval in intervals}
        await _try_all(path, pinged, heed=reaches is not False)
        return _judged(path, reaches, seconds, pinged)


def _judged(path: Path, reaches: bool | None, seconds: float, pinged: Mapping[float, Pinged]) -> Finding:
    who = {True: "the server", False: "a hop", None: "unknown"}[reaches]
    suffered: dict[str, JsonValue] = {
        f"{interval:g} s": came.pings if came.cause else None for interval, came in pinged.items()
    }
    details: Mapping[str, JsonValue] = {
        "answered_by": who,
        "seconds": round(seconds, 6),
        "complained_after": suffered,
    }
    refused = max((interval for interval, came in pinged.items() if came.cause), default=None)
    if refused is not None:
        return _refused(refused, pinged, details)
    if reaches is None:
        return inconclusive(f"Our pings are answered, but it is not known by whom{path.hint}.", details=details)
    if reaches:
        return survived("Our pings reach the server, and it answers them.", details=details)
    what = "A hop answers our pings, so they say nothing about the connection between it and the server."
    return survived(what, details=details)


def _refused(refused: float, pinged: Mapping[float, Pinged], details: Mapping[str, JsonValue]) -> Finding:
    came = pinged[refused]
    fine = min((interval for interval in pinged if interval > refused), default=None)
    every, silent = f"every {refused:g} s", came.cause == "unanswered" or came.closed is not None
    if came.cause == "too-many-pings":
        does = f"The path closes a connection that is pinged {every}, after {came.pings} pings"
    else:
        does = f"When we ping {every}, the path stops answering after {came.pings - 1} pings"
    if fine is None:
        return broken(came.cause, f"{does}.", details=details, silent=silent)
    what = f"{does}, but tolerates a ping every {fine:g} s."
    return limited(came.cause, what, limit=60 / fine, unit="pings a minute", details=details, silent=silent)


async def _try_all(path: Path, pinged: Mapping[float, Pinged], *, heed: bool) -> None:
    """Ping at all intervals at once, next to a connection that is not pinged."""
    async with path.http2() as quiet:
        opened = trio.current_time()
        await Talk(path, quiet).say()
        async with trio.open_nursery() as nursery:
            for interval, came in pinged.items():
                nursery.start_soon(_try, path, interval, came, heed)
        closed = [came for came in pinged.values() if came.closed is not None]
        if not closed:
            return
        await trio.sleep(SLACK)  # The connection without pings may be about to be closed.
        if not quiet.ended and not await Talk(path, quiet).say():
            return  # It was dropped without notice, so the others may have been dropped as well.
        lived = math.inf if quiet.ended_at is None else quiet.ended_at - opened
    for came in closed:
        if came.closed is not None and lived > came.closed + SLACK:
            came.cause = "too-many-pings"


async def _try(path: Path, interval: float, came: Pinged, heed: bool) -> None:
    """Ping at an interval; with ``heed``, keep within the server's limit."""
    count = max(FEWEST, min(MOST, int(path.budget.idle / interval)))
    async with path.http2() as connection:
        opened = trio.current_time()
        talk: Talk | None = None
        for number in range(count):
            if not number or (heed and number % PERMITTED == 0):
                before, talk = talk, Talk(path, connection)  # A new call, as the last one may have been cut off.
                if not await talk.say() and (before is None or not connection.ended):
                    return  # It leads nowhere, or the server may now complain, and rightly: that says nothing.
                if before is not None:
                    before.leave()
            next_at = trio.current_time() + interval
            answered = await _ping(connection) is not None
            if not answered and not connection.ended:
                answered = await _ping(connection) is not None  # A single loss may be an accident here, too.
            came.pings = number + 1
            if not answered and not connection.ended and await Talk(path, connection).say():
                came.cause = "unanswered"
                return
            with trio.move_on_at(next_at):
                await connection.until(lambda: _complains(connection))
            if _complains(connection):
                came.cause = "too-many-pings"
                return
            if connection.ended_at is not None:
                came.closed = None if connection.goaways else connection.ended_at - opened
                return


def _complains(connection: Http2) -> bool:
    return any(goaway.code == ErrorCode.ENHANCE_YOUR_CALM for goaway in connection.goaways)


async def _ping(connection: Http2) -> float | None:
    """Seconds until a ping is answered; None if it is not."""
    with trio.move_on_after(ANSWER):
        return await connection.ping()
    return None


async def _pings(path: Path, talk: Talk, least: int) -> int | None:
    """How many pings the server has counted on the connection of a call; waits a little for so many."""
    records = await path.evidence(talk.call_id, until=lambda record: record.pings_in >= least, within=1.0)
    return records[-1].pings_in if records else None
