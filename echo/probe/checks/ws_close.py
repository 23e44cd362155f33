"""`ws-close`: do WebSocket close codes and reasons arrive, both ways?

The gateway answers our close frame with the code and the reason that it received, so what comes back has gone both
ways. It also records the code, since a hop may have answered in its place. Two closes are the gateway's own: 1000 at
the end of a call, and 1011 with the status of a failed one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import trio

from echo.close_codes import ABNORMAL, INTERNAL_ERROR
from echo.printable import printable
from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.path import Path
from echo.probe.web import BIDIRECTIONAL, UNHEEDED_QUERY, echoed, gateway_saw, parse_object, scripted_target
from echo.probe.websocket import Closed, WebSocket

PATIENCE: Final = 3.0  # Seconds for each answer.
FAILURE: Final = "grüße: 再见"

# Reasons of several lengths; the longest allowed is 123 bytes.
OURS: Final[Mapping[int, str]] = {
    1000: "done",
    1001: "",
    1011: "it failed: größer als 再见",
    3000: "a" * 123,
    4999: "é" * 61,
}


@dataclass(frozen=True)
class Case:
    """One close.

    Attributes:
        ours: Whether we closed.
        sent: The code and reason that were sent.
        came: What we received.
        heard: The code that the gateway received; None if unknown.
    """

    ours: bool
    sent: tuple[int, str]
    came: Closed | None
    heard: int | None = None

    @property
    def arrived(self) -> bool:
        """Whether it arrived as it was sent."""
        came_back = self.came is not None and (self.came.code, self.came.reason) == self.sent
        return came_back and self.heard in (None, self.sent[0])


class WsClose(Check):
    """Closes WebSockets with several codes, and has the gateway close two."""

    name = "ws-close"
    question = "Do WebSocket close codes and reasons arrive, both ways?"
    kind = Kind.WS
    needs = ("ws-upgrade",)
    causes = ("rewritten",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        cases: list[Case] = []
        dead: list[str] = []
        async with trio.open_nursery() as nursery:
            for code, reason in OURS.items():
                nursery.start_soon(_ours, path, code, reason, cases, dead)
            nursery.start_soon(_theirs, path, cases)
            nursery.start_soon(_failed, path, cases, dead)
        wrong = [case for case in cases if not case.arrived]
        if wrong:
            return _told(wrong, len(cases))
        if dead:
            return inconclusive(dead[0])
        codes = ", ".join(str(code) for code in OURS)
        return survived(f"Close codes and reasons arrive unchanged, both ways ({codes}).")


async def _ours(path: Path, code: int, reason: str, cases: list[Case], dead: list[str]) -> None:
    call_id = path.new_call_id()
    async with path.websocket(scripted_target(BIDIRECTIONAL, call_id=call_id)) as socket:
        came = await echoed(socket, "hi", PATIENCE)
        if came is None or isinstance(came, Closed):
            dead.append("Not every close could be tried: a message got no reply.")
            return
        await socket.close(code, reason)
        came = await _end(socket)
    record = await gateway_saw(path, call_id) or {}
    heard = str(record.get("status", ""))
    cases.append(Case(True, (code, reason), came, int(heard) if heard.isdigit() else None))


async def _theirs(path: Path, cases: list[Case]) -> None:
    """The call ends with OK: the gateway closes with 1000."""
    async with path.websocket(BIDIRECTIONAL) as socket:
        await socket.send('{"half_close":true}')
        cases.append(Case(False, (1000, ""), await _end(socket)))


async def _failed(path: Path, cases: list[Case], dead: list[str]) -> None:
    """The call fails: the gateway closes with 1011 and the call's status."""
    script = {"status": f"14:{FAILURE}", "after": "1"}
    async with path.websocket(scripted_target(BIDIRECTIONAL, script)) as socket:
        came = await echoed(socket, "hi", PATIENCE)
        if isinstance(came, (str, bytes)):
            with trio.move_on_after(PATIENCE):
                # If the server does not do as it is asked, this is answered.
                await socket.send('{"stream_id":"probe","message":"still there?"}')
                came = await socket.receive()
        if isinstance(came, str) and parse_object(came):
            dead.append(UNHEEDED_QUERY)
            return
        cases.append(
            Case(False, (INTERNAL_ERROR, f"UNAVAILABLE: {FAILURE}"), came if isinstance(came, Closed) else None)
        )


async def _end(socket: WebSocket) -> Closed | None:
    with trio.move_on_after(PATIENCE):
        while not isinstance(came := await socket.receive(), Closed):
            pass
        return came
    return None


def _told(wrong: list[Case], tried: int) -> Finding:
    worst = min(wrong, key=lambda case: (_gravity(case), not case.ours, case.sent))
    more = f" ({len(wrong)} of {tried} closes were changed)" if len(wrong) > 1 else ""
    sent = f"code {worst.sent[0]}" + (f" and “{printable(worst.sent[1], 40)}”" if worst.sent[1] else "")
    who = "A WebSocket that we closed with" if worst.ours else "A WebSocket that the gateway closed with"
    sentence = f"{who} {sent} ended {_as_came(worst)}{more}."
    silent = all(case.came is None for case in wrong)
    return broken("rewritten", sentence, details={"closes": [*map(_row, wrong)]}, silent=silent)


def _gravity(case: Case) -> int:
    if case.came is None or case.came.code == ABNORMAL:
        return 0
    return 1 if case.came.code != case.sent[0] else 2


def _as_came(case: Case) -> str:
    came = case.came
    if came is None:
        return f"without a close frame from the other side, and stayed open for {PATIENCE:g} s"
    if came.code == ABNORMAL:
        return f"without a close frame from the other side: {came.reason}"
    if (came.code, came.reason) == case.sent:
        heard = "ended without a close frame" if case.heard == ABNORMAL else f"was closed with code {case.heard}"
        return f"that way for us, but for the gateway it {heard}"
    if came.code == case.sent[0]:
        return f"with that code but the reason “{printable(came.reason, 40)}”" if came.reason else "without the reason"
    name = "no code" if came.code == 1005 else f"code {came.code}"
    return f"with {name}"


def _row(case: Case) -> str:
    came = "nothing" if case.came is None else f"{case.came.code} {case.came.reason}"
    came += "" if case.heard is None else f" (the gateway: {case.heard})"
    return f"{'we' if case.ours else 'gateway'}: {case.sent[0]} {case.sent[1]} -> {came}"
