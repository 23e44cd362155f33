"""`ws-idle`: how long does a silent WebSocket stay open, with pings and without?

A ladder of sockets, all at once: each is silent for a different time and must then echo a message. One more that we
ping, and one with constant messages, show why the others are cut: for their silence or for their age. The gateway's own
pings, every 27 s, count as silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import trio

from echo.close_codes import ABNORMAL, GOING_AWAY, INTERNAL_ERROR
from echo.contract import PING_INTERVAL
from echo.probe.check import Check, Kind, Scheduling
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, limited, survived
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.web import BIDIRECTIONAL, echoed, how_closed
from echo.probe.websocket import Closed, RefusedError, WebSocket

PATIENCE: Final = 3.0  # Seconds for an answer.
BUSY: Final = 2.0  # The most seconds between pings or messages on sockets that are not silent.


class Activity(StrEnum):
    """What a socket does meanwhile."""

    SILENT = "silent"
    PINGED = "pinged"
    BUSY = "busy"


@dataclass(frozen=True)
class Lifetime:
    """What became of a socket.

    Attributes:
        activity: What it did meanwhile.
        asked: Seconds that it should stay open.
        lived: Seconds that it did, as far as known; if its end went unnoticed, the time until it had to echo a message.
        end: How it ended; None if it survived.
        pings: How many of the gateway's pings arrived.
        noticed: Whether we saw when it ended.
    """

    activity: Activity
    asked: float
    lived: float
    end: Closed | None
    pings: int
    noticed: bool = True


class WsIdle(Check):
    """Opens the ladder of sockets, and waits for their ends."""

    name = "ws-idle"
    question = "How long does a silent WebSocket stay open, with pings and without?"
    kind = Kind.WS
    scheduling = Scheduling.WAITING
    needs = ("ws-upgrade",)
    patience = 8.0
    causes = ("cut", "pings", "age", "behind")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        lives: list[Lifetime] = []
        failed: list[str] = []
        idle = path.budget.idle
        async with trio.open_nursery() as nursery:
            for rung in path.budget.rungs():
                nursery.start_soon(_live, path, Activity.SILENT, rung, lives, failed)
            nursery.start_soon(_live, path, Activity.PINGED, idle, lives, failed)
            nursery.start_soon(_live, path, Activity.BUSY, idle, lives, failed)
        if failed:
            return inconclusive(f"{len(failed)} of {len(failed) + len(lives)} WebSockets did not open: {failed[0]}.")
        return _judged(sorted(lives, key=lambda life: (life.activity, life.asked)), idle)


async def _live(path: Path, activity: Activity, asked: float, lives: list[Lifetime], failed: list[str]) -> None:
    try:
        async with path.websocket(BIDIRECTIONAL) as socket:
            first = await echoed(socket, "hi", PATIENCE)
            if first is None or isinstance(first, Closed):
                failed.append("no reply came" if first is None else how_closed(first))
                return
            lives.append(await _spend(socket, activity, asked))
    except (RefusedError, UnreachableError) as error:
        failed.append(str(error))


async def _spend(socket: WebSocket, activity: Activity, asked: float) -> Lifetime:
    """Keep the socket so busy for the time asked, then have a message echoed."""
    began = trio.current_time()
    pause = min(BUSY, asked / 8)
    with trio.move_on_at(began + asked) as time:
        if activity is Activity.SILENT:
            await _until_closed(socket)
        elif activity is Activity.PINGED:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_ping, socket, pause)
                await _until_closed(socket)
                nursery.cancel_scope.cancel()
        else:
            await _use(socket, pause)
    if time.cancelled_caught and isinstance(await echoed(socket, "still there?", PATIENCE), (str, bytes)):
        return Lifetime(activity, asked, asked, None, len(socket.pings))
    end, now = socket.closed, trio.current_time()
    noticed = end is not None and end.at < began + asked
    how = end or Closed(now, ABNORMAL, "nothing came any more, without notice")
    return Lifetime(activity, asked, min(how.at - began, asked), how, len(socket.pings), noticed)


async def _until_closed(socket: WebSocket) -> None:
    while not isinstance(await socket.receive(), Closed):
        pass


async def _ping(socket: WebSocket, pause: float) -> None:
    while True:
        if not await socket.ping(b"probe"):
            return
        await trio.sleep(pause)


async def _use(socket: WebSocket, pause: float) -> None:
    while True:
        if not isinstance(await echoed(socket, "hi", PATIENCE), (str, bytes)):
            return
        await trio.sleep(pause)


# What to make of them


def _judged(lives: Sequence[Lifetime], idle: float) -> Finding:
    silent = [life for life in lives if life.activity is Activity.SILENT]
    pinged, busy = (
        next(life for life in lives if life.activity is activity) for activity in (Activity.PINGED, Activity.BUSY)
    )
    dead = [life for life in silent if life.end is not None]
    details: dict[str, JsonValue] = {"sockets": [_row(life) for life in lives]}
    if busy.end is not None and (busy.end.code, busy.end.reason) == (
        GOING_AWAY,
        "going away",
    ):  # What the gateway says.
        return inconclusive("The gateway shut down meanwhile, and closed all WebSockets.", details=details)
    if not dead:
        return _only_silence_lives(pinged, busy, idle) or survived(
            f"A silent WebSocket stays open for {idle:g} s or more{_with_pings(silent)}, and so does a busy one.",
            limit=idle,
            unit="s",
            details=details,
        )
    first = min(dead, key=lambda life: life.lived)
    lived = [life.asked for life in silent if life.end is None]
    longest = max(lived, default=0.0)
    if longest > first.lived:
        sentence = (
            f"A WebSocket was cut after {first.lived:.0f} s, but another was silent for {longest:g} s and survived."
        )
        return inconclusive(sentence, details=details)
    assert first.end is not None
    when = f"after {first.lived:.0f} s" if first.noticed else f"between {longest:g} and {first.asked:g} s"
    limit = round(first.lived, 1) if first.noticed else longest
    cut = f"A silent WebSocket is cut {when} ({how_closed(first.end)})"
    if first.end.code == INTERNAL_ERROR:
        sentence = f"{cut}: the gateway's own call to the server ended, so it was cut behind the gateway."
        return limited("behind", sentence, limit=limit, unit="s", details=details)
    cause, why = _why(first, pinged, busy)
    doubtful = len(dead) == 1 and not first.noticed  # Its answer may merely have been late.
    return limited(cause, f"{cut}{why}.", limit=limit, unit="s", details=details, silent=doubtful)


def _why(first: Lifetime, pinged: Lifetime, busy: Lifetime) -> tuple[str, str]:
    pause = f"every {min(BUSY, pinged.asked / 8):g} s"
    if busy.end is not None:
        return "age", f"; one with messages {pause} is also cut, after {busy.lived:.0f} s, so silence is not the reason"
    if pinged.end is not None:
        return "pings", f"; a ping {pause} does not help, a message does"
    if first.lived > PING_INTERVAL + PATIENCE and not first.pings:
        return "pings", f": none of the gateway's pings came, which it sends every {PING_INTERVAL:g} s"
    return "cut", f"; with a ping {pause} it survives"


def _only_silence_lives(pinged: Lifetime, busy: Lifetime, idle: float) -> Finding | None:
    """The finding if silent sockets survive and others do not."""
    for cause, life, word in (("pings", pinged, "pinged"), ("age", busy, "used")):
        if life.end is not None:
            how = f"{how_closed(life.end)} after {life.lived:.0f} s"
            what = f"A silent WebSocket stays open for {idle:g} s, but one that is {word} does not: {how}."
            return broken(cause, what, silent=not life.noticed)
    return None


def _with_pings(silent: Sequence[Lifetime]) -> str:
    return f" (the gateway pings it every {PING_INTERVAL:g} s)" if any(life.pings for life in silent) else ""


def _row(life: Lifetime) -> str:
    end = "lived" if life.end is None else f"{how_closed(life.end)} after {life.lived:.1f} s"
    return f"{life.activity}, {life.asked:g} s: {end}"
