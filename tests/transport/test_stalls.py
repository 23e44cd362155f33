"""Peers that begin something and do not go on: they get a deadline, and then the connection ends."""

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream
from hyperframe.frame import ContinuationFrame, GoAwayFrame, HeadersFrame, SettingsFrame

from echo.rpc import Limits, Server
from echo.transport.memory import memory_stream_pair
from echo.wire.client import ClientConnection
from echo.wire.head import Request
from echo.wire.stream import Stream
from tests.support.pair import PREFACE, frames
from tests.support.services import BIDI, ECHO, BytesCodec, BytesStream, Service

CODEC = BytesCodec()
SETTINGS = SettingsFrame(0).serialize()


async def everything(stream: ByteStream) -> bytes:
    received = b""
    try:
        while True:
            received += await stream.receive()
    except anyio.EndOfStream:
        return received


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE], ids=["nothing", "half a preface", "no SETTINGS"])
async def test_a_peer_that_never_begins_is_disconnected(said: bytes, autojump_clock: trio.abc.Clock) -> None:
    server = Server([ECHO], codec=CODEC, limits=Limits(handshake_timeout=20))
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery, ours:
        nursery.start_soon(server.serve_connection, theirs)
        if said:
            await ours.send(said)
        await everything(ours)
        assert trio.current_time() == pytest.approx(20, abs=0.1)
    assert server.connections == 0


async def test_a_header_block_that_never_ends_ends_the_connection(autojump_clock: trio.abc.Clock) -> None:
    server = Server([ECHO], codec=CODEC, limits=Limits(handshake_timeout=20))
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery, ours:
        nursery.start_soon(server.serve_connection, theirs)
        nursery.start_soon(everything, ours)
        await ours.send(PREFACE + SETTINGS)
        await trio.sleep(1_000)
        assert server.connections == 1  # Silence alone is allowed.

        await ours.send(HeadersFrame(1, data=b"\x82").serialize())
        before = trio.current_time()
        with trio.move_on_after(100):
            while server.connections:
                await trio.sleep(5)
                if server.connections:
                    await ours.send(ContinuationFrame(1, data=b"").serialize())
        assert 20 <= trio.current_time() - before <= 30
        assert server.connections == 0
        nursery.cancel_scope.cancel()


async def test_a_peer_that_takes_no_bytes_is_disconnected(autojump_clock: trio.abc.Clock) -> None:
    cancelled = trio.Event()

    async def pour(stream: BytesStream) -> None:
        try:
            while True:
                await stream.send_message(b"x" * 1_000)
        finally:
            cancelled.set()

    server = Server([Service(Pour=(BIDI, pour))], codec=CODEC, limits=Limits(write_timeout=20))
    ours, theirs = memory_stream_pair(0)
    client = ClientConnection(Limits(stream_window=2**30, connection_window=2**30), Stream)
    client.start()
    client.open(Request("/test.Service/Pour"))
    async with trio.open_nursery() as nursery, ours:
        nursery.start_soon(server.serve_connection, theirs)
        await ours.send(client.take_output())
        await cancelled.wait()
        assert trio.current_time() == pytest.approx(20, abs=0.1)
    assert server.connections == 0


async def test_a_connection_that_never_starts_does_not_delay_a_drain(autojump_clock: trio.abc.Clock) -> None:
    server = Server([ECHO], codec=CODEC)
    ours, theirs = memory_stream_pair()

    async with ours, trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_connection, theirs)
        nursery.start_soon(everything, ours)  # As the kernel takes it for a client, whether that reads or not.
        await trio.testing.wait_all_tasks_blocked()
        await server.drain(10)
        assert trio.current_time() < 1


async def test_a_drain_says_goaway_twice(autojump_clock: trio.abc.Clock) -> None:
    server = Server([ECHO], codec=CODEC)
    ours, theirs = memory_stream_pair()
    client = ClientConnection(Limits(), Stream)
    client.start()
    async with trio.open_nursery() as nursery, ours:
        nursery.start_soon(server.serve_connection, theirs)
        await ours.send(client.take_output())
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(server.drain, 10)
        said = b""
        with trio.move_on_after(5):
            async for data in ours:
                said += data
                list(client.receive(data))
                if client.has_output:
                    await ours.send(client.take_output())
        assert trio.current_time() < 1
        goaways = [frame.last_stream_id for frame in frames(said) if isinstance(frame, GoAwayFrame)]
        assert goaways == [2**31 - 1, 0]
