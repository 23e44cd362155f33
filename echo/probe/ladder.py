"""Ladders: many things of a kind, each silent for a time of its own, all at once; how long they live tells a limit.

What is cut off with notice shows when by itself. What is dropped without a word shows only when it is used again, so
there the limit lies between two rungs.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from echo.probe.calls import SERVER_STREAM, UNARY
from echo.probe.http2 import Http2
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.talk import ANSWER, Cut, Talk, cut_of, cut_of_connection
from echo.probe.target import Target

BEAT: Final = 0.4  # Seconds between the messages of a busy call,
SLOW_BEAT: Final = 5.0  # and where it goes on for long.
LONG: Final = 130.0  # Seconds.
NEVER: Final = Cut("never", 0.0)  # There was no answer to begin with, so nothing can be said of how long it lives.
MOST: Final = 3600  # Seconds that the server may be asked to be silent for.
SLACK: Final = 1.5  # Seconds by which two things may differ that are cut off for the same reason.


@dataclass
class Ladder:
    """What became of each rung.

    Attributes:
        alive: The seconds of silence that were survived.
        cuts: How those were cut off that did not survive, by the seconds of silence that there were to be; `Cut.at`
            counts from the beginning of the silence.
    """

    alive: list[float] = field(default_factory=list)
    cuts: dict[float, Cut] = field(default_factory=dict)

    async def climb(self, rungs: Sequence[float], one: Callable[[float], Awaitable[Cut | None]]) -> None:
        """Try all rungs at once."""
        async with trio.open_nursery() as nursery:
            for seconds in rungs:
                nursery.start_soon(self._climb, seconds, one)

    async def _climb(self, seconds: float, one: Callable[[float], Awaitable[Cut | None]]) -> None:
        try:
            cut = await one(seconds)
        except UnreachableError:
            cut = NEVER
        if cut is NEVER:
            return
        if cut is None:
            self.alive.append(seconds)
        else:
            self.cuts[seconds] = cut

    @property
    def cut(self) -> Cut | None:
        """How the first was cut off; None if none was.

        Where a rung ends just as everything is cut off, it seems to be dropped in silence; longer ones know better.
        """
        first = min(self.cuts.values(), key=lambda cut: cut.at, default=None)
        if first is not None and first.cause == "silence":
            noticed = [cut for cut in self.cuts.values() if cut.cause != "silence" and cut.at <= first.at + SLACK]
            return min(noticed, key=lambda cut: cut.at, default=first)
        return first

    @property
    def limit(self) -> float:
        """Up to how many seconds of silence everything survived."""
        cut = self.cut
        if cut is None:
            return max(self.alive, default=0.0)
        if cut.cause != "silence":
            return round(cut.at, 1)
        return max((seconds for seconds in self.alive if seconds < cut.at), default=0.0)

    @property
    def sound(self) -> bool:
        """Whether there is a limit, or none: nothing lived on beyond the time after which others were cut off."""
        return bool(self.alive or self.cuts) and (
            self.cut is None or all(seconds <= self.cut.at + SLACK for seconds in self.alive)
        )


class Busy:
    """A call on which messages go both ways all the time, begun anew whenever it is cut off.

    Attributes:
        cut: How the first was cut off; `Cut.at` counts from its beginning. None if it was not.
    """

    def __init__(self, path: Path, connection: Http2) -> None:
        self.cut: Cut | None = None
        self._path = path
        self._connection = connection
        self._beat = BEAT if path.budget.idle <= LONG else SLOW_BEAT

    async def run(self) -> None:
        """Go on until cancelled, or until the connection has ended."""
        while not self._connection.ended:
            cut = await self._talk(Talk(self._path, self._connection))
            if self.cut is None:
                self.cut = cut
            await trio.sleep(self._beat)

    async def _talk(self, talk: Talk) -> Cut | None:
        """Talk until the call is cut off; how, if that was not at its beginning."""
        answered = False
        while talk.cut is None:
            heard = await talk.say()
            if answered and not heard and talk.cut is None:
                talk.leave()
                return Cut("silence", talk.last - talk.began)
            answered |= heard
            await trio.sleep(self._beat)
        return Cut(talk.cut.cause, talk.cut.at - talk.began) if answered else None

    def explains(self, cut: Cut) -> bool:
        """Whether this one was cut off at the same age as one that was silent: then it is not for silence."""
        return self.cut is not None and self.cut.at <= cut.at + SLACK


async def silent_stream(path: Path, seconds: float) -> Cut | None:
    """A call on which nothing is said for so long, on a connection that is used by another; how it was cut off."""
    async with path.http2() as connection, trio.open_nursery() as nursery:
        await connection.ready()
        if connection.max_streams == 1:
            return NEVER
        nursery.start_soon(Busy(path, connection).run)
        cut = await _outlive(Talk(path, connection), seconds)
        nursery.cancel_scope.cancel()
    return cut


async def lone_stream(path: Path, seconds: float) -> Cut | None:
    """A call on which nothing is said for so long, on a connection of its own; how it was cut off."""
    async with path.http2() as connection:
        return await _outlive(Talk(path, connection), seconds)


async def _outlive(talk: Talk, seconds: float) -> Cut | None:
    if not await talk.say():
        return NEVER
    last = talk.last
    cut = await talk.silent(seconds)
    if cut is not None:
        return Cut(cut.cause, cut.at - last)
    if await talk.say():
        return None
    return _noticed(talk.connection, last) or Cut("silence", seconds)


async def silent_server(path: Path, seconds: float) -> Cut | None:
    """A call on which we have sent everything, and the server is silent for so long; how it was cut off."""
    async with path.http2() as connection, trio.open_nursery() as nursery:
        await connection.ready()
        if connection.max_streams == 1:
            return NEVER
        nursery.start_soon(Busy(path, connection).run)
        script = {"count": "2", "interval": f"{min(seconds + 60, MOST):.0f}s"}
        call = path.begin(connection, SERVER_STREAM, script, call_id=path.new_call_id())
        with trio.move_on_after(ANSWER):
            await call.send(path.message(SERVER_STREAM), end=True)
            await connection.until(lambda: call.data or call.over)
        last = trio.current_time()
        with trio.move_on_at(last + seconds if call.data else last):
            await connection.until(lambda: cut_of(call, connection))
        cut = cut_of(call, connection) if call.data else NEVER
        if not call.over:
            call.cancel()
        nursery.cancel_scope.cancel()
    return cut if cut is None or cut is NEVER else Cut(cut.cause, cut.at - last)


async def idle_connection(path: Path, seconds: float, to: Target | None = None) -> Cut | None:
    """A connection without calls for so long, through the path or to one of its `direct`; how it was cut off."""
    async with path.http2(to) as connection:
        if not await answers(path, connection):
            return NEVER
        last = trio.current_time()
        with trio.move_on_at(last + seconds):
            await connection.until(lambda: connection.goaways)
        cut = _noticed(connection, last)
        if cut is not None:
            return cut
        cut = cut_of_connection(connection)
        if cut is not None:
            return Cut(cut.cause, cut.at - last)
        if await answers(path, connection):
            return None
        return _noticed(connection, last) or Cut("silence", seconds)  # A notice may cross our call on its way.


def _noticed(connection: Http2, last: float) -> Cut | None:
    """The notice that a connection is given up, if it has come."""
    return Cut("goaway", connection.goaways[0].at - last) if connection.goaways else None


async def answers(path: Path, connection: Http2) -> bool:
    """Whether a call on a connection is answered."""
    call = path.begin(connection, UNARY, call_id=path.new_call_id(), timeout=ANSWER)
    with trio.move_on_after(ANSWER):
        await call.send(path.message(UNARY), end=True)
        await call.until_over()
    return bool(call.data)
