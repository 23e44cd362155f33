"""`connection-idle`: how long does an idle connection stay open?

Connections without calls are left alone for different times. A busy connection shows whether idleness is the reason
that others are closed, and one that bypasses the path shows whether the server closes them. One that is opened later
shows whether connections are closed at a certain age, or all at one moment, as by a reload.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from echo.probe.check import Check, Scheduling
from echo.probe.finding import Finding, JsonValue, inconclusive, limited, survived
from echo.probe.ladder import SLACK, Busy, Ladder, answers, idle_connection
from echo.probe.path import Path
from echo.probe.talk import Cut, cut_of_connection

LATER: Final = 2.0  # Seconds after the others that one connection is opened.
SAME: Final = 1.0  # Seconds between two moments that count as one.
JITTER: Final = 0.25  # Fraction by which ages may differ that count as the same.


@dataclass
class Younger:
    """An idle connection that is opened later than the others.

    Attributes:
        ladder: What became of it.
        over: Whether it is over.
    """

    ladder: Ladder = field(default_factory=Ladder)
    over: bool = False

    async def run(self, path: Path) -> None:
        """Open it, and leave it alone."""
        await trio.sleep(LATER)
        await self.ladder.climb([max(path.budget.idle - LATER, 0.0)], partial(idle_connection, path))
        self.over = True

    def cut_with(self, cut: Cut) -> bool:
        """Whether it was closed at the same moment, so its age was another."""
        mine = self.ladder.cut
        return mine is not None and "silence" not in (cut.cause, mine.cause) and abs(mine.at + LATER - cut.at) < SAME

    def outlived(self, cut: Cut) -> bool:
        """Whether it was idle for longer than the other, as it was still open when we stopped waiting, or cut later."""
        mine = self.ladder.cut
        if cut.cause == "silence":
            return False
        if mine is not None:
            return mine.at > cut.at and not _together(cut, mine)
        return self.ladder.limit > cut.at or not self.over


class ConnectionIdle(Check):
    """Leaves connections alone for different times, all at once."""

    name = "connection-idle"
    question = "How long does an idle connection stay open?"
    scheduling = Scheduling.WAITING
    patience = 15.0
    causes = ("closed", "black-hole", "age", "at-once")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        ladder, around, young = Ladder(), Ladder(), Younger()
        async with path.http2() as connection, trio.open_nursery() as nursery:
            began = trio.current_time()
            nursery.start_soon(Busy(path, connection).run)
            for end in path.direct:
                nursery.start_soon(around.climb, [path.budget.idle], partial(idle_connection, path, to=end))
            nursery.start_soon(young.run, path)
            await ladder.climb(path.budget.rungs(), partial(idle_connection, path))
            if ladder.cut:
                # The busy one, those that bypass the path, and the younger one may be about to be cut off.
                await trio.sleep(LATER + SLACK)
            left = cut_of_connection(connection) or next(iter(connection.goaways), None)
            mute = left is None and ladder.cut is not None and not await answers(path, connection)
            nursery.cancel_scope.cancel()
        cut, limit = ladder.cut, ladder.limit
        details: Mapping[str, JsonValue] = {"seconds": limit, "cut": None if cut is None else cut.cause}
        if cut is None and not ladder.sound:
            return inconclusive("No call was answered at all, so no connection could be left idle.")
        if cut is None:
            return survived(f"An idle connection stays open for {limit:g} s.", limit=limit, unit="s", details=details)
        if young.cut_with(cut):
            what = f"All connections were closed at once after {cut.at:.1f} s, whatever their age"
            return inconclusive(f"{what}, as by a reload of a hop.", cause="at-once", details=details)
        if left is not None and left.at - began <= cut.at + SLACK:
            return _old(cut, left.at - began, young.ladder.cut, around, details)
        if mute:
            return inconclusive(
                "The path drops busy connections as well, so idleness is not the reason.", details=details
            )
        if not ladder.sound or young.outlived(cut):
            return inconclusive(
                "Some idle connections were closed, but others stayed open for longer.", details=details
            )
        if _by_server(cut, around):
            what = f"The path leaves idle connections alone; the server itself closes them after {cut.at:.1f} s."
            return survived(what, limit=limit, unit="s", details=details)
        if cut.cause == "silence":
            what = f"The path drops an idle connection within {cut.at:g} s without notice: the next call is lost."
            return limited("black-hole", what, limit=limit, unit="s", details=details, silent=ladder.doubtful)
        notice = "with notice" if cut.cause == "goaway" else "without a GOAWAY"
        who, told = ("The path", "") if path.direct else ("The path or the server", " (--direct would tell which)")
        what = f"{who} closes an idle connection after {cut.at:.1f} s, {notice}{told}."
        return limited("closed", what, limit=limit, unit="s", details=details)


def _old(cut: Cut, age: float, young: Cut | None, around: Ladder, details: Mapping[str, JsonValue]) -> Finding:
    """What is said where busy connections are closed as well, and those opened later are closed later."""
    if young is None or not _together(cut, young):
        what = f"The path closes busy connections after {age:.1f} s as well, so idleness is not the reason."
        return inconclusive(what, details=details)
    if _by_server(cut, around):
        what = f"The path leaves connections alone; the server itself closes them at an age of {cut.at:.1f} s."
        return survived(what, limit=round(cut.at, 1), unit="s", details=details)
    notice = "with notice" if cut.cause == "goaway" else "without a GOAWAY"
    what = f"The path closes connections at an age of {cut.at:.1f} s, {notice}, whether they are in use or not."
    return limited("age", what, limit=round(cut.at, 1), unit="s", details=details)


def _by_server(cut: Cut, around: Ladder) -> bool:
    return any(_together(cut, other) for other in around.cuts.values())


def _together(cut: Cut, other: Cut) -> bool:
    """Whether two connections were closed after the same time; ages at which servers close them vary by a tenth."""
    return "silence" not in (cut.cause, other.cause) and abs(cut.at - other.at) <= max(SLACK, JITTER * cut.at)
