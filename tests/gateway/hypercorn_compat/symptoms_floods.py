"""What shows upstream's faults under floods of frames or handshakes: each tells whether the fault is there."""

import os
import tracemalloc
from contextlib import AsyncExitStack, suppress

import trio
from h2.errors import ErrorCodes

from tests.gateway.hypercorn_compat.clients import UPGRADE, connected, get, upgraded
from tests.gateway.hypercorn_compat.in_process import Receive, Scope, Send, accept, hello, serving, until_left
from tests.support import frames as websocket
from tests.support.http2_frames import PREFACE, ping, rst_stream, settings
from tests.support.quiet_clock import quiet
from tests.support.raw import raw_client

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
CLIENTS = 100
FLOOD = 900  # Frames: fewer than the budget has.
MOST_TURNS = 100_000


async def largest_share(stream: trio.SocketStream, flood: bytes, answers: int) -> float:
    """The largest share of a flood's answers, of this size in all, that came between two turns of another task."""
    await stream.send_all(flood)
    largest = came = 0
    for _ in range(MOST_TURNS):
        await trio.lowlevel.checkpoint()
        with suppress(BlockingIOError):
            size = len(os.read(stream.socket.fileno(), 1 << 20))
            largest, came = max(largest, size), came + size
        if came >= answers:
            return largest / answers
    raise AssertionError(f"only {came} of {answers} bytes came")


async def all_frames_of_a_read_are_handled_at_once() -> bool:
    async with serving(hello) as running, connected(running.port) as stream:
        await stream.send_all(PREFACE + settings())
        await stream.receive_some(1000)
        return await largest_share(stream, ping(b"12345678") * FLOOD, FLOOD * 17) > 0.5


async def all_websocket_frames_of_a_read_are_handled_at_once() -> bool:
    fragments = (
        websocket.frame(websocket.TEXT, b"x", fin=False) + websocket.frame(websocket.CONTINUATION, fin=False) * 4000
    )
    async with serving(hello) as running, connected(running.port) as stream:
        await upgraded(stream)
        await stream.send_all(fragments + websocket.frame(websocket.CONTINUATION))
        for turn in range(MOST_TURNS):
            with suppress(BlockingIOError):
                os.read(stream.socket.fileno(), 1000)
                return turn < 50
            await trio.lowlevel.checkpoint()
    raise AssertionError


async def resets_have_no_end() -> bool:
    async with serving(hello) as running, raw_client(running.port) as client:
        for stream_id in range(1, 6_001, 2):
            await client.send(client.head(stream_id, GET, end=True), rst_stream(stream_id))
        await quiet()
        return not [goaway for goaway in client.goaways if goaway.error_code == ErrorCodes.ENHANCE_YOUR_CALM]


async def unknown_settings_are_kept() -> bool:
    async with serving(hello) as running, raw_client(running.port) as client:
        await client.pause()
        tracemalloc.start()
        try:
            for number in range(0x1000, 0x2000, 2_048):
                await client.send(settings(*((number + more, 1) for more in range(2_048))))
            await client.pause()
            return tracemalloc.get_traced_memory()[0] > 1_000_000
        finally:
            tracemalloc.stop()


async def what_is_reset_at_once_runs() -> bool:
    runs = 0

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        nonlocal runs
        runs += 1

    async with serving(app) as running, raw_client(running.port) as client:
        await client.send(*(client.head(number, GET, end=True) + rst_stream(number) for number in range(1, 200, 2)))
        await quiet()
    return runs > 50


async def handshakes_that_arrive_together_begin_in_one_turn() -> bool:
    begun = 0

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        await receive()
        await accept(send)
        await until_left(receive)

    async with serving(app) as running, AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(connected(running.port)) for _ in range(CLIENTS)]
        await quiet()
        for client in clients:
            os.write(client.socket.fileno(), get(*UPGRADE))  # Nothing is awaited, so all arrive together.
        while not begun:
            await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()  # That turn may not have been over.
        return begun > CLIENTS / 2
