"""A frame-aware HTTP/2 hop of our own, that breaks exactly one thing.

Write a fault as a subclass of `Fault` and override `to_server` or `to_client`; each is given what comes, one `Item` at
a time, and gives what goes on instead. An item is a `Frame` as it came, or a `Head`: a header list decoded, whatever
frames it came in. Nothing is awaited that the other direction needs, so holding back is simply not returning yet:

    class LoseTrailers(Fault):
        async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
            return [] if isinstance(item, Head) and item.ends else [item]

    async with relaying(port, LoseTrailers()) as hop: ...

Flow control passes through: windows are those of the two ends. A fault that swallows DATA gives its window back to the
sender by `Line.absorb`; one that holds DATA back and wants more of it does the same, and sends within windows it knows.
"""

import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import hpack
import trio

from tests.support.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_FRAME,
    PADDED,
    PREFACE,
    PRIORITISED,
    Frame,
    data,
    frame,
    goaway,
    rst_stream,
    window_update,
)
from tests.support.serving import LOOPBACK, accepting

LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Head:
    """A header list: a request's, a response's, or trailers."""

    stream: int
    fields: Fields
    ends: bool = False

    def get(self, name: str) -> str | None:
        return next((value for found, value in self.fields if found == name), None)

    def without(self, *names: str) -> "Head":
        return replace(self, fields=[(name, value) for name, value in self.fields if name not in names])

    def adding(self, name: str, value: str) -> "Head":
        return replace(self, fields=[*self.fields, (name, value)])


Item = Frame | Head


def is_data(item: Item) -> bool:
    return isinstance(item, Frame) and item.kind == DATA


class Side:
    """One end of a line, as the hop speaks to it: items in, items out."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder(max_header_list_size=2**24)
        self._buffer = bytearray()
        self._out = bytearray()
        self._filled, self._drained = trio.Event(), trio.Event()
        self._block: tuple[int, int, bytearray] | None = None

    def send(self, *items: Item) -> None:
        """Queue items for this end; never waits."""
        for item in items:
            self._out += self._encoded(item) if isinstance(item, Head) else _bytes(item)
        self._filled.set()

    async def write(self) -> None:
        while True:
            await self._filled.wait()
            self._filled = trio.Event()
            sent, self._out = bytes(self._out), bytearray()
            await self.stream.send_all(sent)
            if not self._out:
                self._drained.set()
                self._drained = trio.Event()

    async def flush(self) -> None:
        """Wait until all that is queued has been sent, or is not taken within a second."""
        with trio.move_on_after(1.0):
            while self._filled.is_set():
                await self._drained.wait()

    async def preface(self) -> None:
        while len(self._buffer) < len(PREFACE):
            came = await self.stream.receive_some(65_536)
            if not came:
                raise trio.BrokenResourceError
            self._buffer += came
        del self._buffer[: len(PREFACE)]

    async def items(self) -> AsyncIterator[Item]:
        """What this end says, until it has closed."""
        while True:
            while (one := self._next()) is not None:
                item = self._whole(one)
                if item is not None:
                    yield item
            came = await self.stream.receive_some(65_536)
            if not came:
                return
            self._buffer += came

    def _next(self) -> Frame | None:
        if len(self._buffer) < 9:
            return None
        size = int.from_bytes(self._buffer[:3], "big")
        if len(self._buffer) < 9 + size:
            return None
        kind, flags, stream = self._buffer[3], self._buffer[4], int.from_bytes(self._buffer[5:9], "big")
        payload = bytes(self._buffer[9 : 9 + size])
        del self._buffer[: 9 + size]
        return Frame(kind, flags, stream, payload)

    def _whole(self, one: Frame) -> Item | None:
        """The frame; a head once its last frame is here."""
        if one.kind == HEADERS:
            payload = one.payload
            if one.flags & PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            self._block = (one.stream, one.flags, bytearray(payload[5:] if one.flags & PRIORITISED else payload))
        elif one.kind == CONTINUATION and self._block is not None:
            self._block[2].extend(one.payload)
        else:
            return one
        if not one.flags & END_HEADERS or self._block is None:
            return None
        stream, flags, block = self._block
        pairs = self._decoder.decode(bytes(block), raw=True)
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
        return Head(stream, fields, bool(flags & END_STREAM))

    def _encoded(self, head: Head) -> bytes:
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.fields]
        block = self._encoder.encode(fields, huffman=sum(len(value) for _, value in fields) < 5_000)
        pieces = [block[at : at + MAX_FRAME] for at in range(0, len(block), MAX_FRAME)]
        result = b""
        for number, piece in enumerate(pieces):
            flags = END_HEADERS if number == len(pieces) - 1 else 0
            if not number and head.ends:
                flags |= END_STREAM
            result += frame(CONTINUATION if number else HEADERS, flags, head.stream, piece)
        return result


@dataclass
class Line:
    """One client's connection through the hop, and the hop's own to the server.

    Attributes:
        client, server: Its ends; `Side.send` sends to them.
        nursery: For what a fault does later; it ends with the line.
        number: How many lines there were before it.
    """

    client: Side
    server: Side
    nursery: trio.Nursery
    number: int

    def absorb(self, sender: Side, item: Frame) -> None:
        """Give the window of DATA that goes no further back to who sent it."""
        if item.payload:
            sender.send(_raw(window_update(0, len(item.payload))))
            sender.send(_raw(window_update(item.stream, len(item.payload))))

    def reset(self, stream: int, code: int, *sides: Side) -> None:
        """Reset a stream towards these ends, both by default."""
        for side in sides or (self.client, self.server):
            side.send(_raw(rst_stream(stream, code)))

    def goaway(self, last: int, code: int = 0, debug: bytes = b"") -> None:
        """Tell the client that the hop takes no more."""
        self.client.send(_raw(goaway(last, code, debug)))

    def data(self, side: Side, stream: int, payload: bytes, *, end: bool = False) -> None:
        """Send DATA of the hop's own making."""
        side.send(_raw(data(stream, payload, end=end)))

    def close(self) -> None:
        """Close both connections."""
        self.nursery.cancel_scope.cancel()


class Fault:
    """Breaks nothing: a clean hop."""

    async def opened(self, line: Line) -> None:
        """A client has connected. May take as long as the line lives."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [item]


@dataclass
class Hop:
    """A hop that runs.

    Attributes:
        port: Where it listens.
        lines: Those that were ever opened.
    """

    port: int
    lines: list[Line] = field(default_factory=list)


@asynccontextmanager
async def relaying(target: int, fault: Fault | None = None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Hop]:
    """A hop in front of the server on this port of the loopback, for the block; with ``tls`` it terminates TLS."""
    fault = fault or Fault()

    async def serve(client: trio.abc.Stream) -> None:
        if tls is not None:
            assert isinstance(client, trio.SocketStream)
            client = trio.SSLStream(client, tls, server_side=True)
        server = await trio.open_tcp_stream(LOOPBACK, target)
        async with client, server:
            try:
                async with trio.open_nursery() as nursery:
                    line = Line(Side(client), Side(server), nursery, len(hop.lines))
                    hop.lines.append(line)
                    for task in (_up, _down):
                        nursery.start_soon(task, line, fault)
                    nursery.start_soon(fault.opened, line)
                    nursery.start_soon(line.client.write)
                    nursery.start_soon(line.server.write)
            except* LOST:
                pass  # An end has gone; so does the line.

    async with accepting(serve) as port:
        hop = Hop(port)
        yield hop


async def _up(line: Line, fault: Fault) -> None:
    await line.client.preface()
    await line.server.stream.send_all(PREFACE)
    async for item in line.client.items():
        line.server.send(*(await fault.to_server(line, item)))
    await line.server.flush()
    line.close()


async def _down(line: Line, fault: Fault) -> None:
    async for item in line.server.items():
        line.client.send(*(await fault.to_client(line, item)))
    await line.client.flush()
    line.close()


def _bytes(item: Frame) -> bytes:
    return frame(item.kind, item.flags, item.stream, item.payload)


def _raw(encoded: bytes) -> Frame:
    """A frame from the builders of `tests.support.http2_frames`."""
    return Frame(encoded[3], encoded[4], int.from_bytes(encoded[5:9], "big"), encoded[9:])
