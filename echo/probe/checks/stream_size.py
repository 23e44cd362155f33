"""`stream-size`: how many bytes can a stream carry in total, in each direction?

We send many small messages and count how many arrive; for ours, the server's record says so. A stream that stalls
counts as cut; one that is merely slow does not.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.asking import scripting_problem
from echo.probe.bisect import KIB, MIB, size_in_words
from echo.probe.calls import CLIENT_STREAM, SERVER_STREAM
from echo.probe.check import Check, Scheduling
from echo.probe.finding import Finding, JsonValue, inconclusive, limited, survived
from echo.probe.path import Path
from echo.rpc import GRPCError, StreamTerminatedError

MESSAGE: Final = 8 * KIB
HOPELESS: Final = 2.0  # Times the available time that a stream would take, at which it is given up.
STILL: Final = 7.0  # Seconds without progress after which a stream counts as cut, if there are that many.
OVERHEAD: Final = 12  # Bytes of a message of ours besides its text, at least.
_WORDS: Final = {"request": "to the server", "response": "from the server"}


@dataclass
class Direction:
    """What became of one stream.

    Attributes:
        kind: ``request`` or ``response``.
        asked: How many messages it should have.
        arrived: How many are known to have arrived; None if unknown.
        ended: How it ended, if not normally.
        done: Whether it ended or stood still before the time was up.
        silent: Whether it stood still.
    """

    kind: str
    asked: int
    arrived: int | None = None
    ended: str = ""
    done: bool = False
    silent: bool = False

    @property
    def bytes(self) -> int:
        """The number of bytes known to have arrived."""
        return (self.arrived or 0) * MESSAGE

    @property
    def what(self) -> str:
        """The stream, in words."""
        return f"stream {_WORDS[self.kind]}"


class StreamSize(Check):
    """Sends a stream of many small messages each way."""

    name = "stream-size"
    question = "How many bytes can a stream carry in total, in each direction?"
    scheduling = Scheduling.ALONE
    large = True
    patience = 130.0
    causes = ("request", "response")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        quick = path.budget.quick
        asked = (8 if quick else 32) * MIB // MESSAGE
        patience = 3.5 if quick else 60.0  # Seconds for each way.
        async with path.http2() as connection:
            if (why := await scripting_problem(path, connection, within=patience / 2)) is not None:
                return inconclusive(why)
        ways = [Direction(kind, asked) for kind in _WORDS]
        for way, run in zip(ways, (_up, _down), strict=True):
            with trio.move_on_after(patience):
                await _watch(path, way, run, patience)
        return _finding(path, ways)


class _Progress:
    """A scope that is cancelled when nothing moves for a while, or when the time will not be nearly enough.

    Attributes:
        stillness: Seconds without progress after which it is cancelled.
        hopeless: Whether it was cancelled because of its speed.
    """

    def __init__(self, patience: float) -> None:
        self.stillness = min(patience / 2, STILL)
        self.hopeless = False
        self.scope = trio.CancelScope(deadline=trio.current_time() + self.stillness)
        self._began, self._patience = trio.current_time(), patience

    def made(self, share: float) -> None:
        """Note how much is done: 1 is everything."""
        now = trio.current_time()
        self.scope.deadline = now + self.stillness
        spent = (now - self._began) / self._patience
        if spent > 0.25 and HOPELESS * share < spent:
            self.hopeless = True
            self.scope.cancel()


Run = Callable[[Path, Direction, str, _Progress], Awaitable[None]]


async def _up(path: Path, way: Direction, call_id: str, progress: _Progress) -> None:
    message = CLIENT_STREAM.message("m" * (MESSAGE - OVERHEAD))
    async with path.channel() as channel, path.request(channel, CLIENT_STREAM, call_id=call_id) as stream:
        for number in range(way.asked):
            await stream.send_message(message, end=number == way.asked - 1)
            progress.made(number / way.asked)
        summary = await stream.recv_message()
        way.arrived = None if summary is None else summary.sequence_number


async def _down(path: Path, way: Direction, call_id: str, progress: _Progress) -> None:
    script = {"count": f"{way.asked}", "interval": "0s", "size": f"{MESSAGE}B"}
    way.arrived = 0
    async with path.channel() as channel, path.request(channel, SERVER_STREAM, script, call_id=call_id) as stream:
        await stream.send_message(SERVER_STREAM.message("hi"), end=True)
        while messages := await stream.recv_messages():
            way.arrived += len(messages)
            progress.made(way.arrived / way.asked)


async def _watch(path: Path, way: Direction, run: Run, patience: float) -> None:
    """Run a stream until it ends or stalls, or will not end within so many seconds."""
    call_id, progress = path.new_call_id(), _Progress(patience)
    try:
        with progress.scope:
            await run(path, way, call_id, progress)
    except StreamTerminatedError:
        way.ended = "the call ended early"
    except GRPCError as error:
        way.ended = error.message or error.status.name
    if progress.hopeless:
        return
    if progress.scope.cancelled_caught:
        way.ended = f"nothing moved for {progress.stillness:.1f} s"
        way.silent = True
    way.done = True
    if way.arrived is None:
        records = await path.evidence(call_id, within=1.0)
        if records or (records == [] and path.direct):
            way.arrived = max((record.messages_in for record in records), default=0)


def _finding(path: Path, ways: list[Direction]) -> Finding:
    details: dict[str, JsonValue] = {way.kind: way.bytes for way in ways if way.arrived is not None}
    asked = size_in_words(ways[0].asked * MESSAGE)
    short = [way for way in ways if way.done and way.arrived is not None and way.arrived < way.asked]
    if short:
        told = "; ".join(_cut(way, asked) for way in short)
        least = min(short, key=lambda way: way.bytes)
        limit = least.bytes or None  # If nothing arrived, a smaller stream might have.
        silent = all(way.silent for way in short)
        what = f"{told[0].upper()}{told[1:]}."
        return limited(least.kind, what, limit=limit, unit="bytes", details=details, silent=silent)
    for way in ways:
        if way.done and way.arrived is None:
            sentence = f"A {way.what} failed ({way.ended}); how much of it arrived is not known{path.hint}."
            return inconclusive(sentence, details=details)
        if not way.done:
            sentence = f"The path is too slow to carry {asked} in the available time."
            if path.budget.quick:
                sentence = f"The path is too slow to carry {asked} with --quick."
            return inconclusive(sentence, details=details)
        if way.ended:
            sentence = f"A {way.what} arrived complete, but did not end normally ({way.ended})."
            return inconclusive(sentence, details=details)
    return survived(
        f"Streams of {asked} in small messages get through in each direction.",
        limit=ways[0].asked * MESSAGE,
        unit="bytes",
        details=details,
    )


def _cut(way: Direction, asked: str) -> str:
    if not way.bytes:
        return f"nothing of {asked} arrived on a {way.what}" + (f": {way.ended}" if way.ended else "")
    how = f": {way.ended}" if way.ended else ", though the call ended as if nothing was missing"
    return f"a {way.what} was cut after {size_in_words(way.bytes)} of {asked}{how}"
