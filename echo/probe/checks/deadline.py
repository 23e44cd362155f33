"""`deadline`: does the server hear how long a call may take.

Calls with deadlines of different lengths, and one without any, are made at once; the server says what arrived.
"""

import math
from collections.abc import Mapping
from typing import Final

import trio

from echo.probe.calls import UNARY
from echo.probe.check import Check
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, limited, survived
from echo.probe.path import Path

ASKED: Final = (5.0, 30.0, 300.0, 3600.0)  # Seconds.
TOLERANCE: Final = 0.1  # Of a deadline; what a call takes on its way is taken off it by some hops.
ROUNDING: Final = 0.001  # Seconds that a longer one may be off.
PATIENCE: Final = 3.0  # Seconds for the calls.


class Deadline(Check):
    """Makes calls with deadlines, and asks the server for what arrived of these."""

    name = "deadline"
    question = "Does the server hear how long a call may take?"
    patience = 8.0
    causes = ("missing", "changed")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        seen = await self._seen(path)
        if seen is None:
            return inconclusive(f"What the server saw of the calls cannot be had{path.hint}.")
        details: Mapping[str, JsonValue] = {
            "none" if asked is None else f"{asked:g} s": arrived for asked, arrived in seen.items()
        }
        return _judged({asked: seen[asked] for asked in ASKED}, seen[None], details)

    async def _seen(self, path: Path) -> Mapping[float | None, float | None] | None:
        """What arrived of each deadline; None unless that is known of all."""
        calls = {asked: path.new_call_id() for asked in (*ASKED, None)}
        async with path.http2() as connection:
            with trio.move_on_after(PATIENCE):
                for asked, call_id in calls.items():  # One by one: how many go at once is another check's question.
                    call = path.begin(connection, UNARY, call_id=call_id, timeout=asked)
                    await call.send(path.message(UNARY), end=True)
                    await call.until_over()
        seen: dict[float | None, float | None] = {}
        for asked, call_id in calls.items():
            records = await path.evidence(call_id, until=lambda _: True, within=1.0)
            if not records:
                return None
            seen[asked] = records[-1].deadline_left
        return seen


def _judged(seen: Mapping[float, float | None], unasked: float | None, details: Mapping[str, JsonValue]) -> Finding:
    lost = [asked for asked, arrived in seen.items() if arrived is None]
    if lost:
        how = "is told the deadline of none of our calls" if len(lost) == len(seen) else "is not told every deadline"
        what = f"The server {how}: it goes on working on calls that nobody waits for any more."
        return broken("missing", what, details=details)
    arrived = {asked: left for asked, left in seen.items() if left is not None}
    for asked, left in arrived.items():
        if left > asked + max(ROUNDING, asked * ROUNDING):
            what = f"The server is told a longer deadline than ours: {left:g} s where we said {asked:g} s."
            return broken("changed", what, details=details)
    short = {asked: left for asked, left in arrived.items() if left < asked * (1 - TOLERANCE)}
    if short:
        longest = max(short.values())
        if math.isclose(min(short.values()), longest, rel_tol=0.02) and len(short) < len(arrived):
            what = f"The path gives no call more than {longest:.4g} s, whatever deadline we ask for."
            return limited("changed", what, limit=round(longest, 1), unit="s", details=details)
        asked = max(short)
        what = f"The server is told a shorter deadline than ours: {short[asked]:.4g} s where we said {asked:g} s."
        return broken("changed", what, details=details)
    if unasked is not None:
        what = f"The path sets a deadline of {unasked:.4g} s for calls that have none of their own."
        return limited("changed", what, limit=round(unasked, 1), unit="s", details=details)
    return survived(
        "The server is told the deadline of a call as we set it, and none where we set none.", details=details
    )
