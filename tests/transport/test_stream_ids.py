"""A connection that has used up its stream ids is replaced."""

import anyio

from echo.rpc import Server
from echo.rpc.testing import memory_channel_to
from tests.support.services import ECHO, BytesCodec, unary

CODEC = BytesCodec()


async def test_the_call_after_the_last_stream_goes_to_a_new_connection() -> None:
    async with memory_channel_to(Server([ECHO], codec=CODEC), codec=CODEC) as channel:
        assert await unary(channel, "One", b"first") == b"first"
        (old,) = channel._sessions
        old.connection._highest = 2**31 - 3  # RFC 9113 §5.1.1
        assert await unary(channel, "One", b"last") == b"last"
        with anyio.fail_after(20):
            assert await unary(channel, "One", b"next") == b"next"
            assert channel.calls == 0
            assert old not in channel._sessions
