"""Connections that have ended are freed at once: the programs collect garbage rarely (`echo.cli.garbage`)."""

import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest

from echo.rpc import Channel, GRPCError, Server, open_channel
from echo.transport import ServerSession
from tests.support.leaks import settles
from tests.support.services import BIDI, UNARY, BytesCodec, BytesStream, Service, call, unary
from tests.support.serving import LOOPBACK, serving

pytestmark = pytest.mark.usefixtures("no_collections")

CODEC = BytesCodec()


class Watch:
    """Finds the sessions that begin from now on, and sees whether they are gone."""

    def __init__(self) -> None:
        self._before = self._all()  # What another test has left, for instance in a log record.
        self._found: list[weakref.ref[ServerSession]] = []

    def find(self) -> int:
        self._found = [weakref.ref(one) for one in self._all() if one not in self._before]
        return len(self._found)

    def gone(self) -> bool:
        return all(one() is None for one in self._found)

    @staticmethod
    def _all() -> list[ServerSession]:
        return [thing for thing in gc.get_objects() if isinstance(thing, ServerSession)]


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
    watch = Watch()
    server = Server([Service(One=(UNARY, one), Each=(BIDI, each))], codec=CODEC)
    async with serving(server) as port:
        async with open_channel(LOOPBACK, port, codec=CODEC) as channel:
            await use(channel)
            assert watch.find() == 1
        await settles(watch.gone, True, "the server's session is freed")


async def test_a_connection_that_drained_with_its_server_is_freed_too() -> None:
    watch = Watch()
    server = Server([Service(One=(UNARY, one), Each=(BIDI, each))], codec=CODEC)
    async with serving(server) as port, open_channel(LOOPBACK, port, codec=CODEC) as channel:
        await ended_call(channel)
        assert watch.find() == 1
        await server.drain(1.0)
        await settles(watch.gone, True, "the server's session is freed")
