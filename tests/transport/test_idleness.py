"""A connection without calls ends after `Limits.max_connection_idle`."""

import trio

from echo.rpc import Limits, Server
from echo.rpc.testing import memory_channel_to
from tests.support.services import ECHO, BytesCodec, unary

CODEC = BytesCodec()


async def test_a_connection_is_idle_from_the_end_of_its_last_call(autojump_clock: trio.abc.Clock) -> None:
    server = Server([ECHO], codec=CODEC, limits=Limits(max_connection_idle=60))
    async with memory_channel_to(server, codec=CODEC) as channel:
        await unary(channel, "One")
        await trio.sleep(0.5)
        await unary(channel, "One")
        await trio.sleep(59.8)  # More than the time since the first call.
        assert server.connections == 1
        await trio.sleep(0.5)
        assert server.connections == 0
