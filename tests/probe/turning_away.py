"""Hops that do not pass calls on: they keep them, answer them with pages, or ask the client to leave."""

from collections.abc import Iterable

import trio

from tests.probe.relays import Fault, Fields, Head, Item, Line
from tests.support.http2_frames import DATA, Frame


class KeepCalls(Fault):
    """Speaks HTTP/2, and keeps calls to itself."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [] if item.stream else [item]


class LeaveAfter(Fault):
    """Takes so many calls on a connection, then asks the client to leave it, as nginx's keepalive_requests does."""

    def __init__(self, calls: int) -> None:
        self.last = 2 * calls - 1

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if item.stream > self.last:
            if isinstance(item, Frame) and item.kind == DATA:
                line.absorb(line.client, item)
            return []
        return [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if item.stream == self.last and isinstance(item, Head) and not item.ends:
            line.goaway(self.last)
        return [item]


class AnswerWithPages(Fault):
    """Answers calls itself, as a limiter does, with HTTP 503 and a page; `turned_away` says which."""

    PAGE: Fields = ((":status", "503"), ("content-type", "text/html"))
    BODY = b"<html>503 Service Temporarily Unavailable</html>"

    def __init__(self) -> None:
        self._gone: set[tuple[int, int]] = set()
        self._begun: dict[int, trio.Event] = {}

    def turned_away(self, line: Line, head: Head) -> bool:
        return True

    async def opened(self, line: Line) -> None:
        self._begun[line.number] = trio.Event()

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        self._begun[line.number].set()  # SETTINGS come first.
        return [item]

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and self.turned_away(line, item):
            await self._begun[line.number].wait()
            self._gone.add((line.number, item.stream))
            line.client.send(Head(item.stream, self.PAGE, ends=not self.BODY))
            if self.BODY:
                line.data(line.client, item.stream, self.BODY, end=True)
        if (line.number, item.stream) not in self._gone:
            return [item]
        if isinstance(item, Frame) and item.kind == DATA:
            line.absorb(line.client, item)
        return []


class Refuse(AnswerWithPages):
    """Answers calls itself with a status of gRPC's, as Envoy does."""

    BODY = b""

    def __init__(self, status: str, message: str) -> None:
        super().__init__()
        self.PAGE = (
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", status),
            ("grpc-message", message),
        )


class TurnAwayOddLines(AnswerWithPages):
    """Answers the calls of every second connection itself."""

    def turned_away(self, line: Line, head: Head) -> bool:
        return line.number % 2 == 1
