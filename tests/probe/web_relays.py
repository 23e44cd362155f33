"""A hop in front of the gateway that breaks exactly one thing: HTTP/1.1 heads, and WebSocket frames.

Write a fault as a subclass of `WebFault`, as with `tests.probe.relays`. A connection that begins HTTP/2 is carried by a
hop of that module, with the fault's `http2`.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from tests.probe.relays import LOST, Fault, relaying
from tests.support.serving import LOOPBACK

_KEY: Final = b"\x12\x34\x56\x78"


@dataclass(frozen=True)
class Message:
    """The head of a request or of a response, and the body of a response (a request's is passed on as it is).

    Attributes:
        first: Its first line.
        fields: Its headers.
        body: All that follows until the connection ends; empty at a 101.
    """

    first: str
    fields: tuple[tuple[str, str], ...]
    body: bytes = b""

    def get(self, name: str) -> str:
        return next((value for found, value in self.fields if found.lower() == name), "")

    def without(self, *names: str) -> "Message":
        return replace(self, fields=tuple(pair for pair in self.fields if pair[0].lower() not in names))

    def adding(self, name: str, value: str) -> "Message":
        return replace(self, fields=(*self.fields, (name, value)))

    def __bytes__(self) -> bytes:
        lines = [self.first, *(f"{name}: {value}" for name, value in self.fields), "", ""]
        return "\r\n".join(lines).encode("latin-1") + self.body


@dataclass(frozen=True)
class Bare:
    """A WebSocket frame, unmasked."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0


@dataclass
class WebLine:
    """One client's connection through the hop.

    Attributes:
        nursery: For what a fault does later; it ends with the line.
        client, server: Its ends, for a fault that says something of its own by `to_client`, `to_server`.
        heard: When a frame last came, by either side.
    """

    nursery: trio.Nursery
    client: trio.abc.Stream
    server: trio.abc.Stream
    heard: float = field(default_factory=trio.current_time)
    _turns: tuple[trio.Lock, trio.Lock] = field(default_factory=lambda: (trio.Lock(), trio.Lock()))

    async def to_client(self, frame: Bare) -> None:
        async with self._turns[0]:  # Either direction's task may have something for it.
            await self.client.send_all(_encoded(frame, masked=False))

    async def to_server(self, frame: Bare) -> None:
        async with self._turns[1]:
            await self.server.send_all(_encoded(frame, masked=True))

    def close(self) -> None:
        """Close both connections."""
        self.nursery.cancel_scope.cancel()


class WebFault:
    """Breaks nothing.

    Attributes:
        http2: What is done to connections that begin HTTP/2; None refuses them.
    """

    http2: Fault | None = Fault()

    def for_connection(self) -> "WebFault":
        """What is done to one more connection; one with a state of its own for each gives another."""
        return self

    async def request(self, message: Message) -> Message:
        return message

    async def response(self, message: Message) -> Message:
        return message

    async def opened(self, line: WebLine) -> None:
        """A WebSocket has opened. May take as long as the line lives."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [frame]

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [frame]

    async def left(self, line: WebLine) -> None:
        """The client has gone; the server hears of it when this returns."""


@asynccontextmanager
async def web_relaying(target: int, fault: WebFault | None = None) -> AsyncIterator[int]:
    """A hop in front of the gateway on this port of the loopback, for the block; gives its port."""
    fault = fault or WebFault()

    async def serve(client: trio.SocketStream) -> None:
        try:
            async with client:
                await _serve(client, target, fault.for_connection(), inner)
        except* LOST:
            pass

    async with relaying(target, fault.http2) as hop, trio.open_nursery() as nursery:
        inner = hop.port
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        await nursery.start(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _serve(client: trio.SocketStream, target: int, fault: WebFault, http2: int) -> None:
    begun = bytes(await client.receive_some(65_536))
    if begun.startswith(b"PRI"):
        if fault.http2 is None:
            await client.send_all(b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Length: 0\r\n\r\n")
            return
        async with await trio.open_tcp_stream(LOOPBACK, http2) as server:
            await server.send_all(begun)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_copy, client, server, nursery.cancel_scope)
                nursery.start_soon(_copy, server, client, nursery.cancel_scope)
        return
    asked, begun = await _head(client, begun)
    if asked is None:
        return
    async with await trio.open_tcp_stream(LOOPBACK, target) as server:
        asked = await fault.request(asked)
        closing = asked if asked.get("upgrade") else asked.without("connection").adding("Connection", "close")
        await server.send_all(bytes(closing) + (b"" if asked.get("upgrade") else await _body(client, asked, begun, 0)))
        answer, rest = await _head(server, b"")
        if answer is None:
            return
        switched = answer.first.split()[1] == "101"
        if not switched:
            answer = replace(answer, body=await _body(server, answer, rest))
        answer = await fault.response(answer)
        await client.send_all(bytes(answer))
        if switched and answer.first.split()[1] == "101":
            await _frames(client, server, fault, begun, rest)


async def _frames(
    client: trio.SocketStream, server: trio.SocketStream, fault: WebFault, begun: bytes, rest: bytes
) -> None:
    async with trio.open_nursery() as nursery:
        line = WebLine(nursery, client, server)

        async def up() -> None:
            try:
                reader = _Reader(client, begun)
                while (frame := await reader.next()) is not None:
                    line.heard = trio.current_time()
                    for one in await fault.to_server(line, frame):
                        await line.to_server(one)
            except LOST:
                pass
            await fault.left(line)
            line.close()

        async def down() -> None:
            reader = _Reader(server, rest)
            while (frame := await reader.next()) is not None:
                line.heard = trio.current_time()
                for one in await fault.to_client(line, frame):
                    await line.to_client(one)
            line.close()

        nursery.start_soon(up)
        nursery.start_soon(down)
        nursery.start_soon(fault.opened, line)


async def _head(stream: trio.SocketStream, begun: bytes) -> tuple[Message | None, bytes]:
    """A head, and what came behind it."""
    while b"\r\n\r\n" not in begun:
        came = bytes(await stream.receive_some(65_536))
        if not came:
            return None, b""
        begun += came
    head, _, rest = begun.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    pairs = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in fields))
    return Message(first, pairs), rest


async def _body(stream: trio.SocketStream, head: Message, begun: bytes, size: int = -1) -> bytes:
    """A body, which has this size unless the head says another; with -1, it lasts until the connection ends."""
    size = int(head.get("content-length") or size)
    while size < 0 or len(begun) < size:
        came = await stream.receive_some(65_536)
        if not came:
            break
        begun += came
    return begun


async def _copy(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
    try:
        async for data in source:
            await sink.send_all(data)
    finally:
        scope.cancel()


class _Reader:
    """Takes frames out of a stream."""

    def __init__(self, stream: trio.SocketStream, begun: bytes) -> None:
        self._stream = stream
        self._buffer = bytearray(begun)

    async def next(self) -> Bare | None:
        """The next one; None at the end."""
        while (frame := _next(self._buffer)) is None:
            came = await self._stream.receive_some(262_144)
            if not came:
                return None
            self._buffer += came
        return frame


def _next(buffer: bytearray) -> Bare | None:
    if len(buffer) < 2:
        return None
    size, at = buffer[1] & 0x7F, 2
    if size >= 126:
        at = 4 if size == 126 else 10
        if len(buffer) < at:
            return None
        size = int.from_bytes(buffer[2:at])
    masked = bool(buffer[1] & 0x80)
    start = at + 4 * masked
    if len(buffer) < start + size:
        return None
    payload = bytes(buffer[start : start + size])
    if masked:
        payload = _masked(payload, bytes(buffer[at:start]))
    frame = Bare(buffer[0] & 0xF, payload, bool(buffer[0] & 0x80), buffer[0] >> 4 & 7)
    del buffer[: start + size]
    return frame


def _encoded(frame: Bare, *, masked: bool) -> bytes:
    size = len(frame.payload)
    bit = 0x80 if masked else 0
    head = bytes([frame.fin << 7 | frame.rsv << 4 | frame.opcode])
    if size < 126:
        head += bytes([bit | size])
    else:
        head += bytes([bit | 126]) + size.to_bytes(2) if size < 65_536 else bytes([bit | 127]) + size.to_bytes(8)
    return head + (_KEY + _masked(frame.payload, _KEY) if masked else frame.payload)


def _masked(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    mask = int.from_bytes((key * (size // 4 + 1))[:size])
    return (int.from_bytes(payload) ^ mask).to_bytes(size)
