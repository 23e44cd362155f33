"""Hops that make calls again: after a failure, or where the server takes long to respond."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import trio

from tests.probe.relays import Fault, Head, Item, Line
from tests.support.http2_frames import CANCEL, RST_STREAM


@dataclass
class Streams:
    """One line's streams, which have other numbers towards the server, and what was sent on them."""

    next: int = 1
    there: dict[int, int] = field(default_factory=dict)
    back: dict[int, int] = field(default_factory=dict)
    sent: dict[int, list[Item]] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)

    def open(self, stream: int) -> None:
        self.there[stream], self.back[self.next] = self.next, stream
        self.next += 2


class Repeat(Fault):
    """Makes a call again that ends with one of these statuses at once, or is reset."""

    def __init__(self, statuses: Collection[str], *, resets: Collection[int] = (), attempts: int = 3) -> None:
        self.statuses, self.resets, self.attempts = statuses, resets, attempts
        self.lines: dict[int, Streams] = {}

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        streams = self.lines.setdefault(line.number, Streams())
        if not item.stream:
            return [item]
        if isinstance(item, Head):
            streams.open(item.stream)
        streams.sent.setdefault(item.stream, []).append(item)
        return [replace(item, stream=streams.there[item.stream])]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        streams = self.lines.setdefault(line.number, Streams())
        if not item.stream:
            return [item]
        stream = streams.back.get(item.stream)
        if stream is None:
            return []
        if self.is_failure(item) and streams.tries.setdefault(stream, 1) < self.attempts:
            self.repeat(line, stream)
            return []
        return [replace(item, stream=stream)]

    def repeat(self, line: Line, stream: int) -> None:
        """Make the call again that the client has made on this stream."""
        streams = self.lines[line.number]
        streams.tries[stream] = streams.tries.get(stream, 1) + 1
        del streams.back[streams.there[stream]]
        streams.open(stream)
        line.server.send(*(replace(one, stream=streams.there[stream]) for one in streams.sent[stream]))

    def is_failure(self, item: Item) -> bool:
        if isinstance(item, Head):
            return item.get(":status") is not None and item.get("grpc-status") in self.statuses
        return item.kind == RST_STREAM and item.error_code in self.resets


class RepeatLate(Repeat):
    """Makes a call again that has no response after some seconds; the last try has as long as it takes."""

    def __init__(self, seconds: float, attempts: int = 3) -> None:
        super().__init__([], attempts=attempts)
        self.seconds = seconds
        self.responded: set[tuple[int, int]] = set()

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if item.stream and item.ends:
            line.nursery.start_soon(self._watch, line, item.stream)
        return await super().to_server(line, item)

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        passed = await super().to_client(line, item)
        self.responded.update((line.number, one.stream) for one in passed if isinstance(one, Head))
        return passed

    async def _watch(self, line: Line, stream: int) -> None:
        for _ in range(self.attempts - 1):
            await trio.sleep(self.seconds)
            if (line.number, stream) in self.responded:
                return
            line.reset(self.lines[line.number].there[stream], CANCEL, line.server)
            self.repeat(line, stream)
