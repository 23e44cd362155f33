"""`deadline`: does the server learn the deadline of a call?

We make calls with different deadlines, and one without; the server says which deadlines arrived.
"""

import math
from collections.abc import Mapping
from typing import Final

import trio

from echo.probe.asking import ending, succeeded
from echo.probe.calls import UNARY
from echo.probe.check import Check
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, limited, survived
from echo.probe.path import Path

ASKED: Final = (5.0, 30.0, 300.0, 3600.0)  # Seconds.
TOLERANCE: Final = 0.1  # Fraction of a deadline; some hops subtract the time that a call takes on its way.
ROUNDING: Final = 0.001  # Seconds by which a deadline may be longer.
PATIENCE: Final = 3.0  # Seconds for the calls.


class Deadline(Check):
    """Makes calls with deadlines, and asks the server which deadlines arrived."""

    name = "deadline"
    question = "Does the server learn the deadline of a call?"
    patience = 8.0
    causes = ("missing", "changed")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        seen = await self._seen(path)
        if isinstance(seen, str):
            return inconclusive(seen)
        details: Mapping[str, JsonValue] = {
            "none" if asked is None else f"{asked:g} s": arrived for asked, arrived in seen.items()
        }
        return _judged({asked: seen[asked] for asked in ASKED}, seen[None], details)

    async def _seen(self, path: Path) -> Mapping[float | None, float | None] | str:
        """The deadline that arrived for each one sent; or why one of them is not known."""
        calls = {asked: path.new_call_id() for asked in (*ASKED, None)}
        failed = ""
        async with path.http2() as connection:
            with trio.move_on_after(PATIENCE):
                for asked, call_id in calls.items():  # One by one: `concurrency` asks how many go at once.
                    call = path.begin(connection, UNARY, call_id=call_id, timeout=asked)
                    await call.send(path.message(UNARY), end=True)
                    await call.until_over()
                    failed = failed or ("" if succeeded(call) else ending(call))
        seen: dict[float | None, float | None] = {}
        for asked, call_id in calls.items():
            records = await path.evidence(call_id, until=lambda _: True)
            if not records and failed:
                return f"A plain call ended with {failed}, so this could not be checked."
            if not records:
                return f"What the server saw of the calls could not be fetched{path.hint}."
            seen[asked] = records[-1].deadline_left
        return seen


def _judged(seen: Mapping[float, float | None], unasked: float | None, details: Mapping[str, JsonValue]) -> Finding:
    lost = [asked for asked, arrived in seen.items() if arrived is None]
    if lost:
        how = (
            "is not told the deadline of any of our calls"
            if len(lost) == len(seen)
            else "is told only some of our deadlines"
        )
        what = f"The server {how}: it keeps working on calls that nobody is waiting for."
        return broken("missing", what, details=details)
    arrived = {asked: left for asked, left in seen.items() if left is not None}
    for asked, left in arrived.items():
        if left > asked + max(ROUNDING, asked * ROUNDING):
            what = f"The server is told a longer deadline than ours: {left:g} s instead of {asked:g} s."
            return broken("changed", what, details=details)
    short = {asked: left for asked, left in arrived.items() if left < asked * (1 - TOLERANCE)}
    if short:
        longest = max(short.values())
        if math.isclose(min(short.values()), longest, rel_tol=0.02) and len(short) < len(arrived):
            what = f"The path limits every call to {longest:.4g} s, whatever deadline we set."
            return limited("changed", what, limit=round(longest, 1), unit="s", details=details)
        asked = max(short)
        what = f"The server is told a shorter deadline than ours: {short[asked]:.4g} s instead of {asked:g} s."
        return broken("changed", what, details=details)
    if unasked is not None:
        what = f"The path sets a deadline of {unasked:.4g} s on calls that have none."
        return limited("changed", what, limit=round(unasked, 1), unit="s", details=details)
    return survived("The server is told the deadlines that we set, and none where we set none.", details=details)
