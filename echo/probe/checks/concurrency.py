"""`concurrency`: how many calls can run at once on one connection?

We open as many calls at once as the server allows, and none ends before each has had a first reply. This reveals a path
that lets fewer through to the server, whatever it announces.
"""

from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.asking import ending
from echo.probe.calls import SERVER_STREAM
from echo.probe.check import Check, Scheduling
from echo.probe.finding import Finding, inconclusive, limited, survived
from echo.probe.http2 import Stream
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.target import Target

USUAL: Final = 100  # Calls on a connection that an echo server allows.
MOST: Final = 200  # The most calls that are opened, even if a server allows more.
SCRIPT: Final = {"count": "2", "interval": "30s"}  # One reply at once, another after the check is over.
DEADLINE: Final = 30.0  # The calls' deadline in seconds.


@dataclass(frozen=True)
class Outcome:
    """What became of calls that were opened at once.

    Attributes:
        announced: How many calls the other end says it allows; None if it has not said.
        opened: How many were opened.
        answered: How many were answered while all were open.
        refused: How many had ended by then.
        left_out: How many others were not processed, as a GOAWAY said.
        later: How many of the others were answered after the answered ones had ended.
        how: How one of the refused ended, in words.
    """

    announced: int | None
    opened: int
    answered: int
    refused: int = 0
    left_out: int = 0
    later: int = 0
    how: str = ""


class Concurrency(Check):
    """Opens as many calls as the server allows, and counts those that are answered before any ends."""

    name = "concurrency"
    question = "How many calls can run at once on one connection?"
    scheduling = Scheduling.ALONE
    patience = 12.0
    again_after_waiting = True
    causes = ("limited", "stalls", "left")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        within = 2.0 if path.budget.quick else 4.0
        asked = await _allowed(path, within)
        seen = await _open(path, path.target, asked, within)
        if seen is None or not seen.opened or not seen.answered:
            return inconclusive("Not even one stream was answered, so the limit could not be checked.")
        if seen.answered < seen.opened and path.direct:
            around = await _open(path, path.direct[0], asked, within)
            if around is None or around.answered <= seen.answered:
                return inconclusive(
                    f"Even bypassing the path, only {around.answered if around else 0} calls run at once."
                )
        return _finding(seen, asked)


async def _allowed(path: Path, within: float) -> int:
    """How many calls the server itself allows."""
    for target in path.direct:
        try:
            with trio.move_on_after(within):
                async with path.http2(target) as connection:
                    if await connection.ready() and connection.max_streams is not None:
                        return min(connection.max_streams, MOST)
        except UnreachableError:
            continue
    return USUAL


async def _open(path: Path, to: Target, asked: int, within: float) -> Outcome | None:
    """Open calls and count them; None if the other end does not speak HTTP/2."""
    async with path.http2(to) as connection:
        with trio.move_on_after(within):
            await connection.ready()
        if connection.settings is None:
            return None
        announced = connection.max_streams
        number = asked if announced is None else min(asked, announced)
        calls: list[Stream] = []
        message = path.message(SERVER_STREAM)
        with trio.move_on_after(within):
            for _ in range(number):
                call = path.begin(connection, SERVER_STREAM, SCRIPT, call_id=path.new_call_id(), timeout=DEADLINE)
                calls.append(call)
                await call.send(message, end=True)
            await connection.until(lambda: all(call.data or call.over or connection.spared(call) for call in calls))
        answered = [call for call in calls if call.replied]
        refused = [call for call in calls if call.over and not call.replied]
        open_calls = [call for call in calls if not call.over and not call.replied]
        waiting = [call for call in open_calls if not connection.spared(call)]
        for call in answered:
            call.cancel()
        with trio.move_on_after(within if waiting and answered else 0.0):
            await connection.until(lambda: all(call.data or call.over for call in waiting))
        later = sum(1 for call in waiting if call.replied)
        left_out = len(open_calls) - len(waiting)
        how = ending(refused[0]) if refused else ""
        return Outcome(announced, number, len(answered), len(refused), left_out, later, how)


def _finding(seen: Outcome, asked: int) -> Finding:
    details = {
        "announced": seen.announced,
        "opened": seen.opened,
        "answered": seen.answered,
        "refused": seen.refused,
        "left_out": seen.left_out,
        "answered_later": seen.later,
        "refused_with": seen.how,
    }
    limit, unit = seen.answered, "calls"
    if seen.answered == seen.opened:
        if seen.opened < asked:
            sentence = f"The path allows {limit} calls at once on one connection, while the server allows {asked}."
            return limited("limited", sentence, limit=limit, unit=unit, details=details)
        sentence = f"{limit} calls run at once on one connection, as many as the server allows."
        return survived(sentence, limit=limit, unit=unit, details=details)
    were = "was" if limit == 1 else "were"
    only = f"Of {seen.opened} calls opened at once on one connection, {limit} {were} answered"
    if seen.refused == seen.opened - limit:
        what = f"{only}; the others were refused, with {seen.how}."
        return limited("limited", what, limit=limit, unit=unit, details=details)
    if seen.left_out:
        what = f"{only}; the path then asked us to leave the connection (GOAWAY)."
        return limited("left", what, limit=limit, unit=unit, details=details)
    what = "had to wait until those had ended" if seen.later else "were left hanging"
    return limited("stalls", f"{only}; the others {what}.", limit=limit, unit=unit, details=details, silent=True)
