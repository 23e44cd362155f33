"""Hops that hold messages back: until a side ends, or until so many bytes have accumulated.

A hop that holds DATA back accepts as much of it as arrives: it returns the sender's window, and respects the receiver's
windows itself, with a `Pump`.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Final

import trio

from tests.probe.relays import Fault, Head, Item, Line, Side
from tests.support.http2_frames import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    INITIAL_WINDOW_SIZE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
)

EVER: Final = 2**40  # Bytes.
MODEST: Final = 256 * 1024


class Held:
    """What a hop has of one stream.

    Attributes:
        items: In order, with DATA among them.
        size: Bytes of DATA.
        window: What the receiver takes of this stream.
        released: Whether all may go on.
        ended: Whether this is the end.
    """

    def __init__(self, window: int) -> None:
        self.items: deque[Item] = deque()
        self.size = 0
        self.window = window
        self.released = False
        self.ended = False


class Pump:
    """One direction of a line through a hop that holds back: takes what comes, and sends within windows.

    Args:
        sender, receiver: Its ends.
        most: Bytes that it holds before it stops giving windows back.
    """

    def __init__(self, sender: Side, receiver: Side, most: int = EVER) -> None:
        self.sender, self.receiver, self.most = sender, receiver, most
        self.window = self.initial = DEFAULT_WINDOW
        self.streams: dict[int, Held] = {}
        self.begun = False
        self.owed: list[Frame] = []

    def begin(self, line: Line, item: Item) -> None:
        """The receiver's SETTINGS go to the sender first, because nothing else may come before them (RFC 9113 §3.4)."""
        self.sender.send(item)
        self.begun = True
        self.repay(line)

    def repay(self, line: Line) -> None:
        """Give back the windows of what was taken, while not too much is held."""
        if self.begun and sum(held.size for held in self.streams.values()) <= self.most:
            for owed in self.owed:
                line.absorb(self.sender, owed)
            self.owed.clear()

    def of(self, stream: int) -> Held:
        return self.streams.setdefault(stream, Held(self.initial))

    def take(self, line: Line, item: Item) -> Held:
        """Take what belongs to a stream."""
        held = self.of(item.stream)
        held.items.append(item)
        if isinstance(item, Frame) and item.kind == DATA:
            held.size += len(item.payload)
            self.owed.append(item)
            self.repay(line)
        held.ended |= item.ends or (isinstance(item, Frame) and item.kind == RST_STREAM)
        return held

    def credit(self, item: Frame) -> bool:
        """Note what the receiver says of its windows; tell whether it concerns nobody else."""
        if item.kind == WINDOW_UPDATE:
            increment = int.from_bytes(item.payload, "big")
            if item.stream:
                self.of(item.stream).window += increment
            else:
                self.window += increment
            self.flush()
            return True
        if item.kind == SETTINGS and not item.flags & ACK:
            for at in range(0, len(item.payload), 6):
                if int.from_bytes(item.payload[at : at + 2], "big") == INITIAL_WINDOW_SIZE:
                    value = int.from_bytes(item.payload[at + 2 : at + 6], "big")
                    for held in self.streams.values():
                        held.window += value - self.initial
                    self.initial = value
        return False

    def flush(self) -> None:
        """Send what may go on, as far as the windows are."""
        for held in self.streams.values():
            while held.released and held.items:
                item = held.items[0]
                size = len(item.payload) if isinstance(item, Frame) and item.kind == DATA else 0
                if size > min(held.window, self.window):
                    break
                held.window -= size
                self.window -= size
                held.size -= size
                self.receiver.send(held.items.popleft())


class Holding(Fault):
    """A hop that takes one direction, all of it or so many bytes; `released` decides what may go on."""

    def __init__(self, most: int = EVER) -> None:
        self.most = most
        self._pumps: dict[int, Pump] = {}

    def pump(self, line: Line) -> Pump:
        raise NotImplementedError

    def released(self, held: Held) -> bool:
        raise NotImplementedError

    def forward(self, line: Line, item: Item) -> Iterable[Item]:
        """What goes in the direction that is held."""
        if not item.stream or (isinstance(item, Frame) and item.kind not in (DATA, RST_STREAM)):
            return [item]
        pump = self.pump(line)
        held = pump.take(line, item)
        held.released |= self.released(held)
        pump.flush()
        pump.repay(line)
        if not held.ended and not held.size:
            held.released = False
        return []

    def backward(self, line: Line, item: Item) -> Iterable[Item]:
        """What goes in the other direction."""
        pump = self.pump(line)
        if isinstance(item, Frame) and pump.credit(item):
            pump.repay(line)
            return []
        if pump.begun:
            return [item]
        pump.begin(line, item)
        return []


class HoldRequests(Holding):
    """Holds what the client sends back until it has ended its side, or until so many bytes of it are there."""

    def __init__(self, until: int = EVER) -> None:
        super().__init__(EVER if until == EVER else until + MODEST)
        self.until = until

    def pump(self, line: Line) -> Pump:
        return self._pumps.setdefault(line.number, Pump(line.client, line.server, self.most))

    def released(self, held: Held) -> bool:
        return held.ended or held.size >= self.until or isinstance(held.items[0], Head)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return self.forward(line, item)

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return self.backward(line, item)


class HoldResponses(Holding):
    """Holds what the server sends back until it has ended the call, or until so many bytes of it are there."""

    def __init__(self, until: int = EVER) -> None:
        super().__init__(EVER if until == EVER else until + MODEST)
        self.until = until

    def pump(self, line: Line) -> Pump:
        return self._pumps.setdefault(line.number, Pump(line.server, line.client, self.most))

    def released(self, held: Held) -> bool:
        return held.ended or held.size >= self.until or isinstance(held.items[0], Head)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return self.backward(line, item)

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return self.forward(line, item)


class TrickleAtTheEnd(HoldResponses):
    """Holds what the server sends back until it has ended the call, and is then slow to pass it on."""

    PAUSE: Final = 0.008  # Seconds between two frames.

    async def opened(self, line: Line) -> None:
        send, (put, got) = line.client.send, trio.open_memory_channel[Item](math.inf)

        def queue(*items: Item) -> None:
            for item in items:
                put.send_nowait(item)

        line.client.send = queue  # type: ignore[method-assign]
        async for item in got:
            send(item)
            await trio.sleep(self.PAUSE)


class ReleaseInTurns(Fault):
    """Holds a line back and lets it go on every so many seconds, in one direction."""

    def __init__(self, seconds: float, *, requests: bool) -> None:
        self.seconds, self.requests = seconds, requests

    async def opened(self, line: Line) -> None:
        side = line.server if self.requests else line.client
        send, waiting = side.send, list[Item]()
        side.send = lambda *items: waiting.extend(items)  # type: ignore[method-assign]
        while True:
            await trio.sleep(self.seconds)
            send(*waiting)
            waiting.clear()


class HoldResponsesUntilHalfClose(HoldResponses):
    """Holds everything that the server says in a call back until the client has sent everything."""

    def __init__(self) -> None:
        super().__init__(until=MODEST)
        self._complete: dict[int, set[int]] = defaultdict(set)

    def released(self, held: Held) -> bool:
        return False

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if item.stream and (item.ends or (isinstance(item, Frame) and item.kind == RST_STREAM)):
            self._complete[line.number].add(item.stream)
            self.pump(line).of(item.stream).released = True
            self.pump(line).flush()
        return self.backward(line, item)

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        passed = self.forward(line, item)
        if item.stream in self._complete[line.number]:
            self.pump(line).of(item.stream).released = True
            self.pump(line).flush()
        return passed


class BufferRequests(HoldRequests):
    """Takes whatever the client sends, however slowly the server reads."""

    def released(self, held: Held) -> bool:
        return True


class BufferResponses(HoldResponses):
    """Takes whatever the server sends, however slowly the client reads."""

    def released(self, held: Held) -> bool:
        return True
