"""`http-status`: do the gateway's errors arrive as it sent them?

The server is asked for each gRPC status, and the gateway for a page that does not exist. If the server was asked to
fail and replies with success, it did not do as asked, and the path is not to blame. Hops may avoid a gateway for a
while after several server errors in a row, so these are kept apart, and other checks come first.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from echo.contract import HTTP_STATUS
from echo.probe.asking import apart, in_turn
from echo.probe.check import Check, Kind, Scheduling
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.http1 import HttpAnswer
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.web import UNHEEDED_QUERY, parse_object, scripted_target, server_saw, what_came
from echo.rpc import Status

PATIENCE: Final = 2.0  # Seconds for each answer.
LOOK: Final = 0.5  # Seconds to look for a request on the servers.
MESSAGE: Final = "probe: grüße 再见"

PLAIN: Final = (
    "OK",
    "OK among failures",
    "OK among failures too",
)  # A path may turn requests away whatever they ask for.
FAILURES: Final = apart(
    [status for status, http in HTTP_STATUS.items() if http >= 500],
    [status for status, http in HTTP_STATUS.items() if 400 <= http < 500],
)


@dataclass(frozen=True)
class Case:
    """One request: the gateway's answer, and the answer that arrived; None if none did.

    Attributes:
        name: A status, or what else is asked for.
        status: The gateway's HTTP status,
        body: and its body; None if it is the plain reply.
        came: What arrived.
        call_id: The name that the server recorded it under; empty if it does not get that far.
    """

    name: str
    status: int
    body: Mapping[str, object] | None
    came: HttpAnswer | None
    call_id: str = ""

    @property
    def arrived(self) -> bool:
        """Whether the answer arrived as it was sent."""
        came = self.came
        if came is None or came.status != self.status:
            return False
        if self.body is None:
            return b"from server:" in came.body
        return parse_object(came.body) == self.body and came.header("content-type").startswith("application/json")

    @property
    def ignored(self) -> bool:
        """Whether the server answered as if nothing had been asked of it."""
        came = self.came
        return self.status != 200 and came is not None and came.status == 200 and b"from server:" in came.body


class HttpStatus(Check):
    """Asks for an answer with each status, and compares what comes."""

    name = "http-status"
    question = "Do the gateway's errors arrive as it sent them?"
    kind = Kind.HTTP
    scheduling = Scheduling.LAST
    needs = ()
    patience = 10.0
    causes = ("replaced",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        cases: dict[str, Case] = {}
        await _ask(path, cases, PLAIN[0], 200, None)
        if cases[PLAIN[0]].came is None:
            return inconclusive("The gateway does not answer at all; is its URL right?")
        failing = [partial(_fail, path, cases, status) for status in FAILURES]
        plain = [partial(_ask, path, cases, name, 200, None) for name in PLAIN[1:]]
        await in_turn([partial(_missing, path, cases), *failing[:5], plain[0], *failing[5:], plain[1]])
        failures = [*(cases[status.name] for status in FAILURES), cases["no such page"]]
        return _judged([cases[name] for name in PLAIN], failures, await self._turned_away(path, failures))

    async def _turned_away(self, path: Path, failures: Sequence[Case]) -> Sequence[Case]:
        """The requests that a hop answered before the server saw them, as a rate limit does."""
        found: list[Case] = []

        async def look(case: Case) -> None:
            if not await server_saw(path, case.call_id, until=lambda _: True, within=LOOK):
                found.append(case)

        await in_turn(partial(look, case) for case in failures if case.call_id and case.came and not case.arrived)
        return found


async def _ask(path: Path, cases: dict[str, Case], name: str, status: int, body: Mapping[str, object] | None) -> None:
    script = {} if body is None else {"status": f"{body['code']}:{MESSAGE}"}
    call_id = path.new_call_id()
    came = await _get(path, scripted_target("/grpc/probe", script, call_id))
    cases[name] = Case(name, status, body, came, call_id)


async def _fail(path: Path, cases: dict[str, Case], status: Status) -> None:
    body = {"code": status.value, "status": status.name, "message": MESSAGE}
    await _ask(path, cases, status.name, HTTP_STATUS[status], body)


async def _missing(path: Path, cases: dict[str, Case]) -> None:
    body = {"code": Status.NOT_FOUND.value, "status": "NOT_FOUND", "message": "Not Found"}
    cases["no such page"] = Case("no such page", 404, body, await _get(path, "/probe/no-such-page"))


async def _get(path: Path, target: str) -> HttpAnswer | None:
    try:
        with trio.move_on_after(PATIENCE):
            return await path.get(target)
    except UnreachableError:
        pass
    return None


def _judged(plain: Sequence[Case], failures: Sequence[Case], turned_away: Sequence[Case]) -> Finding:
    for one in plain:
        if not one.arrived:
            came = what_came(one.came) if one.came else "no answer"
            return inconclusive(f"A plain request to the gateway fails ({came}), so its errors could not be checked.")
    if any(case.ignored for case in failures):
        return inconclusive(UNHEEDED_QUERY)
    wrong = [case for case in failures if not case.arrived and case not in turned_away]
    if turned_away and not wrong:
        came = what_came(turned_away[0].came) if turned_away[0].came else "no answer"
        return inconclusive(
            f"The server is not known to have seen {len(turned_away)} of {len(failures)} requests: {came} came instead."
        )
    if not wrong:
        return survived(
            f"The gateway's errors arrive with their statuses and JSON bodies ({len(failures)} were tried)."
        )
    worst = min(wrong, key=_gravity)
    sentence = f"{len(wrong)} of {len(failures)} errors of the gateway do not arrive as sent: {_as_came(worst)}."
    silent = all(case.came is None for case in wrong)
    return broken("replaced", sentence, details={"changed": [*map(_row, wrong)]}, silent=silent)


def _gravity(case: Case) -> int:
    return 0 if case.came is None else 1 if case.came.status != case.status else 2


def _as_came(case: Case) -> str:
    came = case.came
    if came is None:
        return f"where HTTP {case.status} was sent, no answer came"
    if came.status == case.status and came.header("content-type").startswith("application/json"):
        return f"HTTP {case.status} came with a different body"
    return f"{what_came(came)} came instead of HTTP {case.status} with JSON"


def _row(case: Case) -> str:
    came = "nothing" if case.came is None else what_came(case.came)
    return f"{case.name}: {case.status} {json.dumps(case.body)} -> {came}"
