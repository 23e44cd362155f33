"""What shows upstream's faults in WebSockets: each checks whether the fault is there."""

import os
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import cast

import hypercorn.trio.run
import trio
from wsproto.connection import Connection, ConnectionType

from echo.gateway.hypercorn_compat import DIRECT, PATIENCE, Direct
from echo.gateway.hypercorn_compat.frames import FrameReader
from tests.gateway.hypercorn_compat.clients import UPGRADE, answered, connected, frames, get, heard, upgraded
from tests.gateway.hypercorn_compat.in_process import (
    Receive,
    Scope,
    Send,
    accept,
    hello,
    send_text,
    serving,
    until_left,
)
from tests.support.frames import BINARY, CLOSE, CONTINUATION, TEXT, close, frame
from tests.support.http2 import open_http2, websocket_over

MIB = 1024 * 1024


# The handshake


async def refused(fields: tuple[str, ...]) -> tuple[bytes, bool]:
    """What such a handshake is answered with, and whether the connection is closed then."""
    async with serving(hello) as running:
        data, closed = await answered(running.port, get(*fields))
    assert data.startswith(b"HTTP/1.1 4")
    return data, closed


async def another_version_is_not_told_ours() -> bool:
    data, _ = await refused((*UPGRADE[:3], "Sec-WebSocket-Version: 8"))
    return b"sec-websocket-version: 13\r\n" not in data.lower()


async def a_refusal_says_nothing() -> bool:
    data, _ = await refused((*UPGRADE[:2], UPGRADE[3]))
    return data.endswith(b"\r\n\r\n")


async def after_a_refusal_the_socket_stays_open() -> bool:
    return not (await refused(UPGRADE[:3]))[1]


# The stream of frames


async def what_comes_before_the_answer_fails() -> bool:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await trio.sleep(1)
        await hello(scope, receive, send)

    async with serving(app) as running, connected(running.port) as stream:
        await stream.send_all(get(*UPGRADE) + frame(TEXT, b"early"))
        return b"early" not in (await heard(stream, b"early"))[0]


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Tells how many bytes there were at most, more than at first."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


async def what_is_too_big_is_collected() -> bool:
    async with serving(hello, websocket_max_message_size=1000) as running, connected(running.port) as stream:
        await upgraded(stream)
        piece = frame(CONTINUATION, bytes(65_536), fin=False)
        with traced() as most:
            await stream.send_all(frame(BINARY, bytes(2000), fin=False))
            for _ in range(160):
                await stream.send_all(piece)
                await trio.sleep(0.01)
            return most() > 4 * MIB


async def what_is_no_frame_is_not_told() -> bool:
    async with serving(hello) as running, connected(running.port) as stream:
        await upgraded(stream)
        await stream.send_all(frame(3, b""))
        return [payload[:2] for opcode, payload in frames((await heard(stream))[0]) if opcode == CLOSE] != [b"\x03\xea"]


async def a_client_that_has_closed_is_missed_late() -> bool:
    left = trio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await accept(send)
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await until_left(receive)
                left.set()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            while True:
                await send_text(send, "x" * 65_536)
                await trio.lowlevel.checkpoint()

    async with serving(app) as running, connected(running.port, buffer=4096) as stream:
        await upgraded(stream)
        await stream.send_all(close(1000))
        await trio.sleep(PATIENCE / 2)
        return not left.is_set()


async def a_closed_websocket_keeps_its_stream() -> bool:
    async with serving(hello) as running, open_http2(running.port) as http2:
        socket = await websocket_over(http2, "/")
        await socket.send_all(close(1000))
        with suppress(EOFError):
            while socket.stream_id not in http2.over:
                await http2.receive()
        return socket.stream_id not in http2.over


async def each_message_is_an_event() -> bool:
    events: list[object] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await accept(send, batched=True)
        while (event := await receive())["type"] == "websocket.receive":
            events.append(event)

    async with serving(app) as running, connected(running.port) as stream:
        await upgraded(stream)
        await stream.send_all(20 * frame(TEXT, b"x"))
        await stream.send_all(close(1000))
        await heard(stream)
    return len(events) >= 20


@contextmanager
def writes_counted() -> Iterator[list[int]]:
    """The sizes of what is given to the kernel in the block: by trio's streams, or by `os.write` as ours do."""
    sizes: list[int] = []
    write, send_all = os.write, trio.SocketStream.send_all

    def counted_write(descriptor: int, data: bytes, /) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    async def counted_send_all(self: trio.SocketStream, data: bytes) -> None:
        sizes.append(len(data))
        await send_all(self, data)

    os.write, trio.SocketStream.send_all = counted_write, counted_send_all  # type: ignore[assignment,method-assign]
    try:
        yield sizes
    finally:
        os.write, trio.SocketStream.send_all = write, send_all  # type: ignore[method-assign]


async def each_message_is_a_write() -> bool:
    counted: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await accept(send)
        direct = cast("dict[str, Direct]", scope["extensions"]).get(DIRECT)
        texts = ["a message of some length"] * 20
        with writes_counted() as sizes:
            if direct is not None:
                await direct.send_texts(texts)
            else:
                for text in texts:
                    await send_text(send, text)
        counted.append(sum(size >= 26 for size in sizes))

    async with serving(app) as running, connected(running.port) as stream:
        await upgraded(stream)
        assert sum(opcode == TEXT for opcode, _ in frames((await heard(stream))[0])) == 20
    return counted[0] >= 20


# Frames


async def bad_gateway_is_a_protocol_error() -> bool:
    async with serving(hello) as running, connected(running.port) as stream:
        await upgraded(stream)
        await stream.send_all(close(1014))
        return frames((await heard(stream))[0]) != [(CLOSE, b"\x03\xf6")]


def calls(function: Callable[[], object]) -> int:
    """How many functions it calls, one way or another."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


async def a_frame_costs_much_more_than_it_must() -> bool:
    """The one that is not about the class in `hypercorn.trio.run`, but about the reader there."""
    data = 100 * frame(TEXT, b"x" * 100)

    def upstream() -> None:
        connection = Connection(ConnectionType.SERVER)
        connection.receive_data(data)
        assert len(list(connection.events())) == 100

    def ours() -> None:
        assert len(list(FrameReader().read(data))) == 100

    mine = ours if vars(hypercorn.trio.run)["TCPServer"].__module__.startswith("echo.") else upstream
    return calls(mine) > 3 * calls(ours)


async def a_few_bytes_inflate_to_many() -> bool:
    async with serving(hello, websocket_max_message_size=1000) as running, connected(running.port) as stream:
        head = await upgraded(stream, "Sec-WebSocket-Extensions: permessage-deflate")
        if "permessage-deflate" not in head:
            return False
        compressor = zlib.compressobj(wbits=-15)
        data = compressor.compress(bytes(32 * MIB)) + compressor.flush(zlib.Z_SYNC_FLUSH)
        with traced() as most:
            await stream.send_all(frame(BINARY, data[:-4], rsv=4))
            await heard(stream, seconds=10)
            return most() > 16 * MIB
