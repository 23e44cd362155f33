"""`stream-duration`: how long does a busy stream stay open?

Messages flow on streams of two kinds: on one we send and get replies; on the other we have sent everything, and
responses continue. There are two of each kind, the second begun a little later: if both are cut off at the same age,
age is the reason; if both are cut off at the same moment, it was an accident, such as a reload of a hop.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.asking import UNHEEDED, scripting_problem
from echo.probe.calls import BIDIRECTIONAL, SERVER_STREAM
from echo.probe.check import Check, Scheduling
from echo.probe.evidence import headers_of
from echo.probe.finding import Finding, JsonValue, inconclusive, limited, survived
from echo.probe.http2 import Http2, Stream
from echo.probe.ladder import BEAT, LONG, SLOW_BEAT
from echo.probe.path import Path
from echo.probe.talk import ANSWER, cut_of

STAGGER: Final = 2.0  # Seconds between the two of a kind.
ANNOUNCED: Final = "x-envoy-expected-rq-timeout-ms"
SAME: Final = 1.0  # Two ages that differ by less count as the same.


@dataclass
class Lifetime:
    """What became of one stream.

    Attributes:
        age: Its age in seconds when it was cut off; None if it was not.
        at: When that was, on trio's clock.
        complete: Whether it ended normally, and when it should.
        by_server: Whether the server ended it for a reason of its own.
        announced: The timeout in seconds that Envoy has announced to the server; None if it has not.
    """

    age: float | None = None
    at: float = 0.0
    complete: bool = False
    by_server: bool = False
    announced: float | None = None


class StreamDuration(Check):
    """Keeps streams busy for the whole time."""

    name = "stream-duration"
    question = "How long does a busy stream stay open?"
    scheduling = Scheduling.WAITING
    patience = 15.0
    causes = ("cut", "response-cut", "at-once")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        sending, receiving = (Lifetime(), Lifetime()), (Lifetime(), Lifetime())
        async with trio.open_nursery() as nursery:
            for number in range(2):
                nursery.start_soon(_keep, path, sending[number], number * STAGGER, True)
                nursery.start_soon(_keep, path, receiving[number], number * STAGGER, False)
        details: Mapping[str, JsonValue] = {
            "while_we_send": [life.age for life in sending],
            "after_we_have_sent_everything": [life.age for life in receiving],
        }
        if all(life.complete for life in (*sending, *receiving)):
            async with path.http2() as connection:
                # A server that does not do as asked ends its calls normally, too, but after a few responses.
                if await scripting_problem(path, connection, within=ANSWER) == UNHEEDED:
                    return inconclusive(UNHEEDED, details=details)
        return _judged(sending, receiving, path.budget.idle, details)


def _judged(
    sending: Sequence[Lifetime], receiving: Sequence[Lifetime], asked: float, details: Mapping[str, JsonValue]
) -> Finding:
    lives = [*sending, *receiving]
    if any(life.by_server for life in lives):
        return inconclusive("The server itself ends connections or calls of that age.", details=details)
    ages = {
        kind: min(first, second)
        for kind, (first, second) in (
            ("before", (sending[0].age, sending[1].age)),
            ("after", (receiving[0].age, receiving[1].age)),
        )
        if first is not None and second is not None and abs(first - second) <= SAME
    }
    if ages:
        limit = round(min(ages.values()), 1)
        when = ""
        if len(ages) == 1:
            when = " while we are still sending" if "before" in ages else " once we have sent everything"
        what = f"The path cuts off a call after {limit:.1f} s{when}, although messages flow on it."
        cause = "cut" if "before" in ages else "response-cut"
        return limited(cause, what, limit=limit, unit="s", details=details)
    if all(life.complete for life in lives):
        what = f"A busy call stays open for {asked:g} s"
        announced = receiving[0].announced
        if announced is not None and announced > asked:
            # Its default of 15 s is longer than a quick survey.
            what = f"{what}, but Envoy announces a timeout of {announced:g} s ({ANNOUNCED})"
        return survived(f"{what}.", limit=asked, unit="s", details={**details, "announced_timeout": announced})
    if all(life.age is not None for life in lives) and _spread([life.at for life in lives]) < SAME:
        what = "All busy calls were cut off at the same moment, whatever their age, as by a reload of a hop."
        return inconclusive(what, cause="at-once", details=details)
    if any(life.age is not None for life in lives):
        return inconclusive("A busy call was cut off, but another one like it stayed open for longer.", details=details)
    return inconclusive("Not all of the busy calls ended as they should.", details=details)


def _spread(times: Sequence[float]) -> float:
    return max(times) - min(times)


async def _keep(path: Path, life: Lifetime, after: float, sending: bool) -> None:
    """Keep a stream busy for as long as was asked for."""
    await trio.sleep(after)
    idle = path.budget.idle
    beat = BEAT if idle <= LONG else SLOW_BEAT
    call_id = path.new_call_id()
    async with path.http2() as connection:
        began = trio.current_time()
        if sending:
            call = path.begin(connection, BIDIRECTIONAL, call_id=call_id)
            await _send(path, connection, call, began + idle, beat)
        else:
            script = {"count": str(math.ceil(idle / beat) + 1), "interval": f"{beat * 1000:.0f}ms"}
            call = path.begin(connection, SERVER_STREAM, script, call_id=call_id)
            await call.send(path.message(SERVER_STREAM), end=True)
            await _flows(connection, call, began + idle, beat)
        with trio.move_on_after(ANSWER):
            await call.until_over()
        life.complete = call.fields.get("grpc-status") == "0"
        if life.complete:
            life.announced = None if sending else await _announced(path, call_id)
            return
        cut = cut_of(call, connection)
        if not call.arrivals or not call.is_grpc:
            return  # Nothing has come yet, or only a hop's own answer.
        if cut is not None and cut.at < began + idle:
            life.at = cut.at
        elif call.arrivals[-1][0] < began + idle - 3 * beat:
            life.at = call.arrivals[-1][0]  # Nothing has come since.
        else:
            life.complete = True  # Except for its end, which other checks report.
            return
        life.age = life.at - began
        records = await path.evidence(call_id, within=1.0)
        life.by_server = bool(records) and records is not None and records[-1].outcome in ("draining", "deadline")


async def _announced(path: Path, call_id: str) -> float | None:
    """The timeout that Envoy's header gives."""
    for record in await path.evidence(call_id, within=1.0) or []:
        for name, value in headers_of(record):
            if name == ANNOUNCED and value.isdecimal():
                return int(value) / 1000
    return None


async def _send(path: Path, connection: Http2, call: Stream, last: float, beat: float) -> None:
    """Send messages until ``last`` and half-close, or until the call is cut off."""
    message = path.message(BIDIRECTIONAL)
    while trio.current_time() < last and cut_of(call, connection) is None and not _stuck(call, beat):
        with trio.move_on_after(beat):
            await call.send(message)
            await connection.until(lambda: call.over)
        call.data.clear()
    if cut_of(call, connection) is None:
        call.half_close()


async def _flows(connection: Http2, call: Stream, last: float, beat: float) -> None:
    """Receive responses until ``last``, or until the call is over."""
    while trio.current_time() < last and cut_of(call, connection) is None and not _stuck(call, beat):
        with trio.move_on_after(beat):
            await connection.until(lambda: call.over)
        call.data.clear()


def _stuck(call: Stream, beat: float) -> bool:
    """Whether messages came at first, but no longer."""
    return bool(call.arrivals) and trio.current_time() - call.arrivals[-1][0] > ANSWER + 2 * beat
