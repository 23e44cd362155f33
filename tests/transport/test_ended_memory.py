"""Connections that have ended are freed at once: the programs collect garbage rarely (`echo.cli.garbage`)."""

import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest

from echo.rpc import Channel, GRPCError, Server, open_channel
from echo.transport import ServerSession
from tests.support.leaks import settles
from tests.support.services import BIDI, UNARY, BytesCodec, BytesStream, Service, call, unary
from tests.support.serving import LOOPBACK, serving

CODEC = BytesCodec()


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def sessions() -> int:
    return sum(isinstance(thing, ServerSession) for thing in gc.get_objects())


async def one(stream: BytesStream) -> None:
    await stream.send_message(await stream.recv_message() or b"")


async def each(stream: BytesStream) -> None:
    async for message in stream:
        await stream.send_message(message)


async def ended_call(channel: Channel) -> None:
    assert await unary(channel, "One", b"hi") == b"hi"


async def failed_call(channel: Channel) -> None:
    with pytest.raises(GRPCError):
        await unary(channel, "Missing", b"hi")


async def open_stream(channel: Channel) -> None:
    async with call(channel, "Each", BIDI) as stream:
        await stream.send_message(b"hi")
        assert await stream.recv_message() == b"hi"


@pytest.mark.parametrize("use", [ended_call, failed_call, open_stream])
async def test_a_connection_that_has_ended_is_freed_without_a_garbage_collection(
    use: Callable[[Channel], Awaitable[None]],
) -> None:
    server = Server([Service(One=(UNARY, one), Each=(BIDI, each))], codec=CODEC)
    async with serving(server) as port:
        async with open_channel(LOOPBACK, port, codec=CODEC) as channel:
            await use(channel)
            assert sessions() == 1
        await settles(sessions, 0, "the server's sessions are freed")


async def test_a_connection_that_drained_with_its_server_is_freed_too() -> None:
    server = Server([Service(One=(UNARY, one), Each=(BIDI, each))], codec=CODEC)
    async with serving(server) as port, open_channel(LOOPBACK, port, codec=CODEC) as channel:
        await ended_call(channel)
        await server.drain(1.0)
        await settles(sessions, 0, "the server's sessions are freed")
