"""`stream-idle`: how long does a silent stream stay open?

Some silent streams are on busy connections, so that the connection is not idle; others have connections of their own,
because some hops only watch connections. If the latter are cut off together with connections that have no stream at
all, `connection-idle` reports it; if busy streams are cut off at the same age, `stream-duration` does. On another
silent stream we have half-closed: if that one survives, the path only limits how long it waits for us. One more call
gets its first response after the whole time, as hops may wait less for that, or make the call again.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from echo.probe.check import Check, Scheduling
from echo.probe.finding import Finding, JsonValue, inconclusive, limited, survived
from echo.probe.ladder import SLACK, Busy, Ladder, idle_connection, lone_stream, silent_server, silent_stream
from echo.probe.late_response import LateResponse
from echo.probe.path import Path
from echo.probe.talk import Cut

HOW: Final = {
    "reset": "the call is reset",
    "goaway": "the connection is closed, with notice",
    "closed": "the connection is closed",
    "silence": "later messages are lost without notice",
}


class StreamIdle(Check):
    """Keeps streams silent for different times, all at once."""

    name = "stream-idle"
    question = "How long does a silent stream stay open?"
    scheduling = Scheduling.WAITING
    patience = 15.0
    causes = ("reset", "our-silence", "goaway", "closed", "silence", "first-response", "made-again")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        shared, lone, bare, sent = Ladder(), Ladder(), Ladder(), Ladder()
        late = LateResponse()
        rungs = path.budget.rungs()
        async with path.http2() as connection, trio.open_nursery() as nursery:
            busy = Busy(path, connection)
            nursery.start_soon(busy.run)
            async with trio.open_nursery() as climbing:
                for ladder, one in ((shared, silent_stream), (lone, lone_stream), (bare, idle_connection)):
                    climbing.start_soon(ladder.climb, rungs, partial(one, path))
                climbing.start_soon(sent.climb, rungs[-1:], partial(silent_server, path))
                climbing.start_soon(late.wait, path, path.budget.idle)
            if shared.cut or lone.cut:
                await trio.sleep(SLACK)  # The busy one may be about to be cut off.
            nursery.cancel_scope.cancel()
        details: Mapping[str, JsonValue] = {
            "on_a_connection_in_use": _told(shared),
            "on_a_connection_of_its_own": _told(lone),
            "no_stream_at_all": _told(bare),
            "after_we_have_sent_everything": _told(sent),
            **late.details,
        }
        for ladder in (shared, lone):
            if ladder.cut is None or (ladder is lone and _together(ladder.cut, bare.cut)):
                continue
            return _judged(ladder, ladder.cut, busy, sent, details)
        if (finding := late.finding(sent)) is not None:
            return replace(finding, details=details)
        if not shared.sound and not lone.sound:
            return inconclusive("No stream was answered at all, so none could be left silent.")
        if lone.cut is not None:
            what = f"A silent stream stays open for {shared.limit:g} s if something else keeps its connection in use."
            return survived(what, limit=shared.limit, unit="s", details=details)
        limit = max(shared.limit, lone.limit)
        return survived(f"A silent stream stays open for {limit:g} s.", limit=limit, unit="s", details=details)


def _judged(ladder: Ladder, cut: Cut, busy: Busy, sent: Ladder, details: Mapping[str, JsonValue]) -> Finding:
    if busy.cut is not None and busy.explains(cut):
        what = f"The path cuts off busy streams after {busy.cut.at:.1f} s as well, so silence is not the reason."
        return inconclusive(what, details=details)
    if not ladder.sound:
        return inconclusive("Some silent streams were cut off, but others were silent for longer.", details=details)
    if cut.cause == "reset" and sent.cut is None and sent.limit > cut.at + SLACK:
        what = (
            f"The path waits {cut.at:.1f} s for our next message on a stream, then resets the call; "
            "once we have sent everything, the server may be silent for longer."
        )
        return limited("our-silence", what, limit=ladder.limit, unit="s", details=details)
    how = HOW[cut.cause]
    if cut.cause == "silence":
        what = f"The path drops a silent stream within {cut.at:g} s: {how}."
    else:
        what = f"The path cuts off a silent stream after {cut.at:.1f} s: {how}."
    return limited(cut.cause, what, limit=ladder.limit, unit="s", details=details, silent=ladder.doubtful)


def _together(one: Cut, other: Cut | None) -> bool:
    return other is not None and abs(one.at - other.at) <= SLACK


def _told(ladder: Ladder) -> JsonValue:
    cut = ladder.cut
    return {"seconds": ladder.limit, "cut": None if cut is None else cut.cause}
