"""`backpressure`: does a paused reader slow the sender down, in each direction?

We ask for more data than any hop should hold, and do not read it; and we send as much to a server that does not read.
The server says how much it has sent or received. The difference between the ends is what the path has buffered.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.budget import Budget, Pace
from echo.probe.calls import BIDIRECTIONAL, CLIENT_STREAM
from echo.probe.check import Check, Scheduling
from echo.probe.evidence import Record
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, survived
from echo.probe.http2 import Http2, Stream
from echo.probe.ladder import NEVER, lone_stream
from echo.probe.path import Path
from echo.probe.rhythm import kib
from echo.probe.talk import cut_of

MOST: Final = 16 * 2**20  # Bytes that a path may buffer.
TOTAL: Final = 24 * 2**20  # Bytes that it is offered.
MESSAGE: Final = 64 * 1024  # Bytes of a message from the server.
PIECE: Final = 16 * 1024  # Bytes of a message of ours: several fit into the server's window, so some arrive complete.
WINDOW: Final = 2**20  # Bytes that our windows allow on a call that we do not read.
STILL: Final = 0.6  # Seconds without progress after which a sender counts as held up.
PAUSE: Final = {Pace.QUICK: 2.5, Pace.DEFAULT: 8.0, Pace.LONG: 65.0}  # Seconds that a reader pauses.
POLL: Final = 0.1  # Seconds between two looks.
MORE: Final = 3.0  # Seconds within which the call must continue after the pause.
TRIES: Final = 3
WHO: Final = {"responses": "we stop reading", "requests": "the server stops reading"}


@dataclass
class Paused:
    """The result of one pause.

    Attributes:
        buffered: Bytes that the path held in the end; None if unknown.
        held_up: Whether the sender was held up.
        through: Whether enough came through before the pause to say that the sender waited for the reader.
        cut: After how many seconds of the pause the call was cut off; None if it was not.
        went_on: Whether the call continued after the pause.
    """

    buffered: int | None = None
    held_up: bool = False
    through: bool = True
    cut: float | None = None
    went_on: bool = True

    @property
    def too_much(self) -> bool:
        """Whether the path buffered more than `MOST`."""
        return self.buffered is not None and self.through and self.buffered > MOST


class Backpressure(Check):
    """Pauses a reader at each end, and measures how much the other end can send."""

    name = "backpressure"
    question = "Does a paused reader slow the sender down, in each direction?"
    scheduling = Scheduling.ALONE
    patience = 15.0
    causes = ("buffered", "cut")

    def seconds(self, budget: Budget) -> float:  # noqa: D102 - as in Check
        return self.patience + 2 * PAUSE[budget.pace]  # The second pause is `lone_stream`'s.

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        pause = PAUSE[path.budget.pace]
        ways: dict[str, Paused] = {}
        async with trio.open_nursery() as nursery:
            for way, once in (("responses", _responses), ("requests", _requests)):
                nursery.start_soon(_try, path, pause, once, way, ways)
        ways = {way: ways[way] for way in WHO}
        details: Mapping[str, JsonValue] = {f"{way}_buffered": came.buffered for way, came in ways.items()}
        for way, came in ways.items():
            if came.too_much:
                much = kib(came.buffered or 0)
                what = f"When {WHO[way]}, the path still takes {much} instead of slowing the sender down."
                return broken("buffered", what, details=details)
        for way, came in ways.items():
            cut = came.cut if came.went_on else pause
            if cut is None or not came.through:  # A call that has not come through was not cut off for the pause.
                continue
            anyway = await lone_stream(path, cut + 0.5)
            if anyway is NEVER:
                what = "No message is answered while we are still sending, so backpressure could not be checked."
                return inconclusive(what, details=details)
            if anyway is not None:
                return inconclusive(
                    "The path also cuts off calls that are merely silent for that long.", details=details
                )
            if came.cut is None:
                what = f"A call does not continue after its reader has paused for {pause:g} s."
            else:
                what = f"When {WHO[way]}, the path cuts off the call after {cut:.1f} s."
            return broken("cut", what, limit=round(cut, 1), unit="s", details=details, silent=came.cut is None)
        if any(came.buffered is None for came in ways.values()):
            what = f"How much the server sent or received is not known{path.hint}."
            return inconclusive(what, details=details)
        if not all(came.through for came in ways.values()):
            return inconclusive(
                "Too little came through before the pause, so backpressure could not be checked.", details=details
            )
        if not all(came.held_up for came in ways.values()):
            return inconclusive("The path was too slow to fill its buffers in the available time.", details=details)
        most = max(came.buffered or 0 for came in ways.values())
        held = f"holds {kib(most)} at most" if most >= 1024 else "buffers next to nothing"
        what = f"A paused reader slows the sender down, in each direction: the path {held}."
        return survived(what, details=details)


async def _try(
    path: Path,
    pause: float,
    once: Callable[[Path, float, Paused], Awaitable[None]],
    way: str,
    ways: dict[str, Paused],
) -> None:
    """Try one direction, again if too much was buffered: now and then an operating system's buffers grow that large."""
    for _ in range(TRIES):
        came = ways[way] = Paused()
        await once(path, pause, came)
        if not came.too_much:
            return


async def _responses(path: Path, pause: float, came: Paused) -> None:
    """Request a lot of data with small messages, and do not read it; the call stays open."""
    call_id = path.new_call_id()
    async with path.http2() as connection:
        call = path.begin(connection, BIDIRECTIONAL, {"size": str(MESSAGE)}, call_id=call_id)
        call.held = True
        began = trio.current_time()
        await call.send(path.message(BIDIRECTIONAL) * (TOTAL // MESSAGE))
        sent, progress = 0, began
        while trio.current_time() < began + pause and cut_of(call, connection) is None:
            record = await _now(path, call_id)
            if record is not None and record.bytes_out > sent:
                sent, progress = record.bytes_out, trio.current_time()
            came.held_up = sent > 0 and trio.current_time() - progress > STILL
            if came.held_up or sent >= TOTAL:
                break
            await trio.sleep(POLL)
        received = sum(size for _, size in call.arrivals)
        came.buffered = None if not sent else max(0, sent - received)
        came.through = received >= WINDOW // 2
        if came.through and sent - received <= MOST:
            await _cut_by(began + pause, call, connection)
        came.cut = _cut_after(call, connection, began)
        if came.cut is None and came.through:
            call.resume()
            before = len(call.arrivals)
            with trio.move_on_after(MORE):
                await connection.until(lambda: len(call.arrivals) > before + 2 or call.over)
            came.went_on = len(call.arrivals) > before + 2
        if not call.over:
            call.cancel()


async def _requests(path: Path, pause: float, came: Paused) -> None:
    """Send a lot to a server that does not read it."""
    call_id = path.new_call_id()
    async with path.http2() as connection, trio.open_nursery() as nursery:
        call = path.begin(connection, CLIENT_STREAM, {"stall": f"{pause:g}s"}, call_id=call_id)
        began = trio.current_time()
        amount = Amount(began)
        nursery.start_soon(_send, path, call, amount)
        while trio.current_time() < began + pause - 0.3 and cut_of(call, connection) is None:
            await trio.sleep(POLL)
            came.held_up = trio.current_time() - amount.progress > STILL
            if came.held_up or amount.sent >= TOTAL:
                break
        sent = amount.sent
        record = await _now(path, call_id)
        came.through = record is not None and record.messages_in > 0
        if record is not None:
            came.buffered = max(0, sent - record.bytes_in)
        if came.through and sent < TOTAL:
            await _cut_by(began + pause, call, connection)
        came.cut = _cut_after(call, connection, began)
        if came.cut is None and came.through and sent < TOTAL:
            with trio.move_on_after(MORE):
                await connection.until(lambda: amount.sent >= sent + 2 * PIECE or call.over)
            came.went_on = amount.sent >= sent + 2 * PIECE
        nursery.cancel_scope.cancel()
        if not call.over:
            call.cancel()


@dataclass
class Amount:
    """How many bytes were sent, and when the last of them."""

    progress: float
    sent: int = 0


async def _send(path: Path, call: Stream, amount: Amount) -> None:
    message = path.message(CLIENT_STREAM, "x" * PIECE)
    while amount.sent < TOTAL and await call.send(message):
        amount.sent += len(message)
        amount.progress = trio.current_time()
        await trio.lowlevel.checkpoint()


async def _cut_by(deadline: float, call: Stream, connection: Http2) -> None:
    """Wait until the call is cut off or the pause is over."""
    with trio.move_on_at(deadline):
        await connection.until(lambda: cut_of(call, connection))


def _cut_after(call: Stream, connection: Http2, began: float) -> float | None:
    cut = cut_of(call, connection)
    return None if cut is None else cut.at - began


async def _now(path: Path, call_id: str) -> Record | None:
    """What the server has seen of a call so far."""
    records = await path.evidence(call_id, until=lambda _: True, within=0.5)
    return records[-1] if records else None
