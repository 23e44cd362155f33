"""`balancing`: which servers answer the calls on one connection, and on many?

Each reply says which instance served the call. Further instances are known from ``--direct``, or because they served
other calls.
"""

import json
from collections import Counter
from typing import Final

import trio

from echo.probe.asking import AT_ONCE, ask
from echo.probe.calls import UNARY
from echo.probe.check import Check
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, limited, survived
from echo.probe.http2 import Http2, Stream
from echo.probe.line import UnreachableError
from echo.probe.path import Path

CALLS: Final = 20  # On one connection: if two servers are chosen at random, all go to one once in 500,000 times.
CONNECTIONS: Final = 12
PATIENCE: Final = 2.5  # Seconds for a call.
_REPORT: Final = "x-echo-report"


class Balancing(Check):
    """Makes calls on one connection and on many, and sees who answers."""

    name = "balancing"
    question = "Which servers answer the calls on one connection, and on many?"
    causes = ("one-instance",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        known: set[str] = set()
        of_one: Counter[str] = Counter()
        of_many: Counter[str] = Counter()
        places = trio.CapacityLimiter(AT_ONCE)

        async def meet(number: int) -> None:
            try:
                async with places, path.http2(path.direct[number]) as connection:
                    known.update(filter(None, [await _instance(path, connection)]))
            except UnreachableError:
                pass  # Then it stays unknown.

        async def call(connection: Http2) -> None:
            async with places:
                of_one[await _instance(path, connection) or ""] += 1

        async def connect(_: int) -> None:
            async with places, path.http2() as connection:
                of_many[await _instance(path, connection) or ""] += 1

        async with trio.open_nursery() as nursery:
            for number in range(len(path.direct)):
                nursery.start_soon(meet, number)
            for number in range(CONNECTIONS):
                nursery.start_soon(connect, number)
        async with path.http2() as connection, trio.open_nursery() as nursery:
            for _ in range(CALLS):
                nursery.start_soon(call, connection)
        return _finding(path, known, of_one, of_many)


async def _instance(path: Path, connection: Http2) -> str | None:
    """Which instance answers a call: from its reply, or from its record."""
    call_id = path.new_call_id()
    call = await ask(path, connection, UNARY, {"report": "true"}, within=PATIENCE, call_id=call_id)
    if (instance := _reported(call)) is not None or not path.direct:
        return instance
    records = await path.evidence(call_id, within=0.0)
    return records[-1].instance if records else None


def _reported(call: Stream) -> str | None:
    try:
        report = json.loads(call.fields.get(_REPORT, ""))
    except ValueError:
        return None
    instance = report.get("instance") if isinstance(report, dict) else None
    return instance if isinstance(instance, str) else None


def _finding(path: Path, known: set[str], of_one: Counter[str], of_many: Counter[str]) -> Finding:
    unknown = of_one.pop("", 0) + of_many.pop("", 0)
    reached = {*of_one, *of_many}
    everyone = known | reached
    details: dict[str, JsonValue] = {
        "known": [*sorted(everyone)],
        "calls_of_one_connection": dict(of_one),
        "calls_of_many_connections": dict(of_many),
    }
    if not of_one or not of_many:
        return inconclusive(f"No reply says which server it came from{path.hint}.", details=details)
    if len(everyone) == 1:
        return survived(
            "One server answers all calls, and no other is known.", limit=1, unit="servers", details=details
        )
    if len(reached) == 1:
        if unknown:
            return inconclusive("Not every reply says which server it came from.", details=details)
        sentence = (
            f"One server answers all calls, on one connection and on {CONNECTIONS}, though {len(everyone)} servers "
            "are known."
        )
        return broken("one-instance", sentence, limit=1, unit="servers", details=details)
    if len(of_one) == 1:
        sentence = (
            f"All calls on a connection go to one server; other connections reach {len(of_many)} of "
            f"{len(everyone)} known."
        )
        return limited("one-instance", sentence, limit=1, unit="servers", details=details)
    sentence = f"Calls on one connection go to {len(of_one)} of {len(everyone)} known servers."
    return survived(sentence, limit=len(of_one), unit="servers", details=details)
