"""`connection-idle`: how long does an idle connection stay open?

Connections without calls are left alone for different times. A busy connection shows whether idleness is the reason
that others are closed, and one that bypasses the path shows whether the server closes them.
"""

from collections.abc import Mapping
from functools import partial

import trio

from echo.probe.check import Check, Scheduling
from echo.probe.finding import Finding, JsonValue, inconclusive, limited, survived
from echo.probe.ladder import SLACK, Busy, Ladder, answers, idle_connection
from echo.probe.path import Path
from echo.probe.talk import Cut, cut_of_connection


class ConnectionIdle(Check):
    """Leaves connections alone for different times, all at once."""

    name = "connection-idle"
    question = "How long does an idle connection stay open?"
    scheduling = Scheduling.WAITING
    patience = 15.0
    causes = ("closed", "black-hole")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        ladder, around = Ladder(), Ladder()
        async with path.http2() as connection, trio.open_nursery() as nursery:
            began = trio.current_time()
            nursery.start_soon(Busy(path, connection).run)
            for end in path.direct:
                nursery.start_soon(around.climb, [path.budget.idle], partial(idle_connection, path, to=end))
            await ladder.climb(path.budget.rungs(), partial(idle_connection, path))
            if ladder.cut:
                await trio.sleep(SLACK)  # The busy one, and those that bypass the path, may be about to be cut off.
            left = cut_of_connection(connection) or next(iter(connection.goaways), None)
            mute = left is None and ladder.cut is not None and not await answers(path, connection)
            nursery.cancel_scope.cancel()
        cut, limit = ladder.cut, ladder.limit
        details: Mapping[str, JsonValue] = {"seconds": limit, "cut": None if cut is None else cut.cause}
        if cut is None and not ladder.sound:
            return inconclusive("No call was answered at all, so no connection could be left idle.")
        if cut is None:
            return survived(f"An idle connection stays open for {limit:g} s.", limit=limit, unit="s", details=details)
        if left is not None and left.at - began <= cut.at + SLACK:
            after = f"{left.at - began:.1f} s"
            what = f"The path closes busy connections after {after} as well, so idleness is not the reason."
            return inconclusive(what, details=details)
        if mute:
            return inconclusive(
                "The path drops busy connections as well, so idleness is not the reason.", details=details
            )
        if not ladder.sound:
            return inconclusive(
                "Some idle connections were closed, but others stayed open for longer.", details=details
            )
        if any(_together(cut, other) for other in around.cuts.values()):
            what = f"The path leaves idle connections alone; the server itself closes them after {cut.at:.1f} s."
            return survived(what, limit=limit, unit="s", details=details)
        if cut.cause == "silence":
            what = f"The path drops an idle connection within {cut.at:g} s without notice: the next call is lost."
            return limited("black-hole", what, limit=limit, unit="s", details=details)
        notice = "with notice" if cut.cause == "goaway" else "without a GOAWAY"
        who, told = ("The path", "") if path.direct else ("The path or the server", " (--direct would tell which)")
        what = f"{who} closes an idle connection after {cut.at:.1f} s, {notice}{told}."
        return limited("closed", what, limit=limit, unit="s", details=details)


def _together(cut: Cut, other: Cut) -> bool:
    return cut.cause != "silence" and abs(cut.at - other.at) <= SLACK
