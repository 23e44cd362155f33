"""Hops that cut off silent or old streams and connections."""

import math
from collections.abc import Iterable
from typing import Final, Literal

import trio

from tests.probe.relays import Fault, Head, Item, Line, is_data
from tests.support.http2_frames import CANCEL, RST_STREAM, Frame

How = Literal["reset", "goaway", "closed", "silence"]
SOON: Final = 0.1  # Seconds from GOAWAY to the end of the connection.


class Cutter(Fault):
    """Cuts off after some seconds; subclasses say what, and from when the seconds count.

    Args:
        seconds: Since the last sign of life, or since the beginning.
        how: By RST_STREAM, by GOAWAY and closing the connection, by just closing it, or by forwarding nothing more.
    """

    def __init__(self, seconds: float, how: How = "reset") -> None:
        self.seconds = seconds
        self.how = how
        self.since: dict[tuple[int, int], float] = {}
        self.mute: set[tuple[int, int]] = set()
        self._changed: dict[int, trio.Event] = {}

    async def opened(self, line: Line) -> None:
        while True:
            event = self._changed[line.number] = trio.Event()
            mine = {key: at + self.seconds for key, at in self.since.items() if key[0] == line.number}
            key = min(mine, key=mine.__getitem__, default=(line.number, -1))
            with trio.move_on_at(mine.get(key, math.inf)):
                await event.wait()
                continue
            if self.since.get(key, math.inf) + self.seconds <= trio.current_time():
                del self.since[key]
                await self.cut(line, key)

    async def cut(self, line: Line, key: tuple[int, int]) -> None:
        if self.how == "silence":
            self.mute.add(key)
        elif self.how == "reset":
            line.reset(key[1], CANCEL)
        else:
            if self.how == "goaway":
                line.goaway(max(stream for _, stream in {*self.since, key}))
                await trio.sleep(SOON)
            line.close()

    def note(self, line: Line, stream: int) -> None:
        """A stream, or with 0 the connection, has shown life."""
        self.since[line.number, stream] = trio.current_time()
        self.stir(line)

    def forget(self, line: Line, stream: int) -> None:
        """It is over."""
        if self.since.pop((line.number, stream), None) is not None:
            self.stir(line)

    def stir(self, line: Line) -> None:
        if line.number in self._changed:
            self._changed[line.number].set()

    def seen(self, line: Line, item: Item, *, from_server: bool) -> None:
        raise NotImplementedError

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        self.seen(line, item, from_server=False)
        return [] if self.mute & {(line.number, item.stream), (line.number, 0)} else [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        self.seen(line, item, from_server=True)
        return [] if self.mute & {(line.number, item.stream), (line.number, 0)} else [item]


def is_end(item: Item, *, from_server: bool) -> bool:
    return (from_server and item.ends) or (isinstance(item, Frame) and item.kind == RST_STREAM)


class CutSilentStreams(Cutter):
    """Cuts off streams on which no message has gone either way for some seconds."""

    def seen(self, line: Line, item: Item, *, from_server: bool) -> None:
        if is_end(item, from_server=from_server):
            self.forget(line, item.stream)
        elif item.stream and (is_data(item) or isinstance(item, Head)):
            self.note(line, item.stream)


class CutSilentClients(Cutter):
    """Cuts off streams on which the client has sent nothing for some seconds, though it has more to send."""

    def seen(self, line: Line, item: Item, *, from_server: bool) -> None:
        if item.ends or is_end(item, from_server=from_server):
            self.forget(line, item.stream)
        elif item.stream and not from_server and (is_data(item) or isinstance(item, Head)):
            self.note(line, item.stream)


class CutOldStreams(Cutter):
    """Cuts off streams that have lived for some seconds."""

    def seen(self, line: Line, item: Item, *, from_server: bool) -> None:
        if is_end(item, from_server=from_server):
            self.forget(line, item.stream)
        elif isinstance(item, Head) and not from_server:
            self.note(line, item.stream)


class CutStreamsOldSinceHalfClose(Cutter):
    """Cuts off streams some seconds after the client has sent everything."""

    def seen(self, line: Line, item: Item, *, from_server: bool) -> None:
        if is_end(item, from_server=from_server):
            self.forget(line, item.stream)
        elif item.ends:
            self.note(line, item.stream)


class CutUnansweredCalls(Cutter):
    """Cuts off calls that have no response some seconds after the client has sent everything."""

    def seen(self, line: Line, item: Item, *, from_server: bool) -> None:
        if from_server and item.stream:
            self.forget(line, item.stream)
        elif item.ends:
            self.note(line, item.stream)


class CutOldConnections(Cutter):
    """Closes connections that have lived for some seconds."""

    async def opened(self, line: Line) -> None:
        self.note(line, 0)
        await super().opened(line)

    def seen(self, line: Line, item: Item, *, from_server: bool) -> None:
        pass


class DrainOldConnections(Fault):
    """Sends a GOAWAY on a connection after some seconds; its calls may continue."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def opened(self, line: Line) -> None:
        await trio.sleep(self.seconds)
        line.goaway(2**31 - 1)


class Reload(Fault):
    """Closes connections at one moment, so many seconds after the first was opened; takes new ones.

    Args:
        seconds: How many.
        wait: Whether connections with streaming calls are left alone.
    """

    def __init__(self, seconds: float, *, wait: bool = False) -> None:
        self.seconds, self.wait = seconds, wait
        self.at = math.inf
        self.streaming: set[int] = set()

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and "Stream" in (item.get(":path") or ""):
            self.streaming.add(line.number)
        return [item]

    async def opened(self, line: Line) -> None:
        self.at = min(self.at, trio.current_time() + self.seconds)
        if trio.current_time() < self.at:
            await trio.sleep_until(self.at)
            if self.wait and line.number in self.streaming:
                return
            line.goaway(2**31 - 1)
            await trio.sleep(SOON)
            line.close()


class CutIdleConnections(CutOldConnections):
    """Closes connections on which nothing has come for some seconds, or drops them."""

    def seen(self, line: Line, item: Item, *, from_server: bool) -> None:
        if (line.number, 0) in self.since:
            self.note(line, 0)


class ForgetIdleConnections(CutIdleConnections):
    """Forgets connections on which nothing has come for some seconds; what comes then ends them."""

    async def cut(self, line: Line, key: tuple[int, int]) -> None:
        self.mute.add(key)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if (line.number, 0) in self.mute:
            line.close()
        return await super().to_server(line, item)


class CutAsTheyAreUsed(CutIdleConnections):
    """Gives up connections on which nothing has come for some seconds, just as a call arrives."""

    async def cut(self, line: Line, key: tuple[int, int]) -> None:
        self.mute.add(key)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if (line.number, 0) in self.mute:
            line.goaway(1)
            line.nursery.start_soon(self._leave, line)
        return await super().to_server(line, item)

    async def _leave(self, line: Line) -> None:
        await trio.sleep(SOON)
        line.close()


class CutConnectionsWithoutStreams(CutOldConnections):
    """Closes connections that have had no stream for some seconds."""

    def __init__(self, seconds: float, how: How = "goaway") -> None:
        super().__init__(seconds, how)
        self.open: set[tuple[int, int]] = set()

    def seen(self, line: Line, item: Item, *, from_server: bool) -> None:
        key = (line.number, item.stream)
        if is_end(item, from_server=from_server):
            self.open.discard(key)
        elif isinstance(item, Head) and not from_server:
            self.open.add(key)
        if any(number == line.number for number, _ in self.open):
            self.forget(line, 0)
        elif (line.number, 0) not in self.since:
            self.note(line, 0)
