"""Ladders: many streams or connections at once, each silent for a different time, to find an idle timeout.

If one is cut off with notice, we see when. If it is dropped silently, we only notice when we use it again, so the limit
is only known to lie between two rungs.
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
SLOW_BEAT: Final = 5.0  # and of one that takes longer than
LONG: Final = 130.0  # seconds.
NEVER: Final = Cut("never", 0.0)  # It was never answered, so its lifetime says nothing.
MOST: Final = 3600  # The longest silence, in seconds, that the server can be asked for.
SLACK: Final = 1.5  # Two cuts this many seconds apart count as having the same reason.


@dataclass
class Ladder:
    """What became of each rung.

    Attributes:
        alive: The planned seconds of silence of the rungs that survived.
        cuts: How the others were cut off, by their planned seconds of silence; `Cut.at` counts from the beginning of
            the silence.
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
        """The first cut; None if nothing was cut off.

        A rung that ends just as everything is cut off looks as if it had been dropped silently; longer rungs show how
        it really was.
        """
        first = min(self.cuts.values(), key=lambda cut: cut.at, default=None)
        if first is not None and first.cause == "silence":
            noticed = [cut for cut in self.cuts.values() if cut.cause != "silence" and cut.at <= first.at + SLACK]
            return min(noticed, key=lambda cut: cut.at, default=first)
        return first

    @property
    def doubtful(self) -> bool:
        """Whether a single rung was dropped silently, as far as we know: its answer may merely have been late."""
        return [cut.cause for cut in self.cuts.values()] == ["silence"]

    @property
    def limit(self) -> float:
        """The longest silence, in seconds, that every rung survived."""
        cut = self.cut
        if cut is None:
            return max(self.alive, default=0.0)
        if cut.cause != "silence":
            return round(cut.at, 1)
        return max((seconds for seconds in self.alive if seconds < cut.at), default=0.0)

    @property
    def sound(self) -> bool:
        """Whether the rungs agree: nothing outlived the time after which others were cut off."""
        return bool(self.alive or self.cuts) and (
            self.cut is None or all(seconds <= self.cut.at + SLACK for seconds in self.alive)
        )


class Busy:
    """A call with constant messages both ways, restarted whenever it is cut off.

    Attributes:
        cut: How the first one was cut off; `Cut.at` counts from its beginning. None if it was not.
    """

    def __init__(self, path: Path, connection: Http2) -> None:
        self.cut: Cut | None = None
        self._path = path
        self._connection = connection
        self._beat = BEAT if path.budget.idle <= LONG else SLOW_BEAT

    async def run(self) -> None:
        """Run until cancelled, or until the connection ends."""
        while not self._connection.ended:
            cut = await self._talk(Talk(self._path, self._connection))
            if self.cut is None:
                self.cut = cut
            await trio.sleep(self._beat)

    async def _talk(self, talk: Talk) -> Cut | None:
        """Talk until the call is cut off; returns how, unless it was never answered."""
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
        """Whether the busy call was cut off at the same age as a silent one: then silence is not the reason."""
        return self.cut is not None and self.cut.at <= cut.at + SLACK


async def silent_stream(path: Path, seconds: float) -> Cut | None:
    """Keep a call silent for so long, on a connection that another call uses; returns how it was cut off."""
    async with path.http2() as connection, trio.open_nursery() as nursery:
        await connection.ready()
        if connection.max_streams == 1:
            return NEVER
        nursery.start_soon(Busy(path, connection).run)
        cut = await _outlive(Talk(path, connection), seconds)
        nursery.cancel_scope.cancel()
    return cut


async def lone_stream(path: Path, seconds: float) -> Cut | None:
    """Keep a call silent for so long, on a connection of its own; returns how it was cut off."""
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
    """Half-close a call on which the server is silent for so long; returns how it was cut off."""
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
        with trio.move_on_at(last + seconds if call.replied else last):
            await connection.until(lambda: cut_of(call, connection))
        cut = cut_of(call, connection) if call.replied else NEVER
        if not call.over:
            call.cancel()
        nursery.cancel_scope.cancel()
    return cut if cut is None or cut is NEVER else Cut(cut.cause, cut.at - last)


async def idle_connection(path: Path, seconds: float, to: Target | None = None) -> Cut | None:
    """Leave a connection without calls for so long, through the path or to another target; returns how it was cut."""
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
    """The GOAWAY that announces the end of a connection, if it has come."""
    return Cut("goaway", max(0.0, connection.goaways[0].at - last)) if connection.goaways else None


async def answers(path: Path, connection: Http2) -> bool:
    """Whether a call on a connection is answered."""
    call = path.begin(connection, UNARY, call_id=path.new_call_id(), timeout=ANSWER)
    with trio.move_on_after(ANSWER):
        await call.send(path.message(UNARY), end=True)
        await call.until_over()
    return call.replied
