"""`retries`: does the path retry failed calls?

The server is asked to fail calls in all the ways that make products retry, and then how many times it saw each. Calls
that it rejected (UNAVAILABLE, RESOURCE_EXHAUSTED) can be retried without harm if the path's owner wants that; any other
call may have taken effect. Only one call is reset, at the end: more would make some hops consider all servers
unhealthy.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from echo.probe.asking import ask, attempts_at, in_turn
from echo.probe.calls import UNARY, Script
from echo.probe.check import Check, Scheduling
from echo.probe.evidence import headers_of
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, survived
from echo.probe.http2 import Http2
from echo.probe.path import Path

PATIENCE: Final = 2.5  # Seconds for a call.
BROKEN_OFF: Final = "a reset"
WISHES: Final[Mapping[str, Script]] = {
    # Statuses that count as server failures never follow each other: after several in a row, hops avoid the server.
    "UNAVAILABLE": {"status": "UNAVAILABLE:probe"},
    "RESOURCE_EXHAUSTED": {"status": "RESOURCE_EXHAUSTED:probe"},
    "INTERNAL": {"status": "INTERNAL:probe"},
    "ABORTED": {"status": "ABORTED:probe"},
    "UNKNOWN": {"status": "UNKNOWN:probe"},
    "CANCELLED": {"status": "CANCELLED:probe"},
    "DEADLINE_EXCEEDED": {"status": "DEADLINE_EXCEEDED:probe"},
    BROKEN_OFF: {"reset": "INTERNAL_ERROR", "after": "0"},
}
TURNED_AWAY: Final = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
_ASKED: Final = ("x-echo-status", "x-echo-reset")


class Retries(Check):
    """Has calls fail, and counts how many times the server saw them."""

    name = "retries"
    question = "Does the path retry failed calls?"
    scheduling = Scheduling.LAST
    causes = ("retried", "retried-unsafe")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        seen: dict[str, int] = {}
        instances: set[str] = set()

        async def look(connection: Http2, name: str) -> None:
            call_id = path.new_call_id()
            await ask(path, connection, UNARY, WISHES[name], within=PATIENCE, call_id=call_id)
            records = await attempts_at(path, call_id)
            asked = [record for record in records if any(field in _ASKED for field, _ in headers_of(record))]
            if asked:
                seen[name] = len(asked)
                instances.update(record.instance for record in asked)

        async with path.http2() as connection:
            await in_turn(partial(look, connection, name) for name in WISHES if name != BROKEN_OFF)
        async with path.http2() as connection:
            await look(connection, BROKEN_OFF)
        return _finding({name: seen[name] for name in WISHES if name in seen}, alone=len(instances) < 2, path=path)


def _finding(seen: Mapping[str, int], *, alone: bool, path: Path) -> Finding:
    details: dict[str, JsonValue] = dict(seen)
    repeated = {name: times for name, times in seen.items() if times > 1}
    unsafe = [name for name in repeated if name not in TURNED_AWAY]
    if unsafe:
        sentence = (
            f"The path retries calls that may have taken effect: one that {_failed(unsafe)} reached the server "
            f"{max(repeated[name] for name in unsafe)} times."
        )
        return broken("retried-unsafe", sentence, details=details)
    if repeated:
        sentence = (
            f"The path retries calls that the server rejected ({_or(list(repeated))}): "
            f"it saw one up to {max(repeated.values())} times."
        )
        return broken("retried", sentence, details=details)
    missing = len(WISHES) - len(seen)
    if missing:
        what = "the calls" if not seen else f"{missing} of {len(WISHES)} calls"
        return inconclusive(f"What the server saw of {what} could not be fetched{path.hint}.", details=details)
    if not alone and len(path.direct) < 2:  # One address may be that of several servers.
        return inconclusive(
            "Several servers are behind the path, and not all of them can be asked; --direct for each would help.",
            details=details,
        )
    return survived(f"The server saw each of {len(WISHES)} failing calls once: the path retries none.", details=details)


def _failed(names: Sequence[str]) -> str:
    statuses = [name for name in names if name != BROKEN_OFF]
    ways = [f"ended with {_or(statuses)}"] if statuses else []
    return _or([*ways, "was reset"] if BROKEN_OFF in names else ways)


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
