"""Calls beyond the server's limit of streams wait for one of them."""

import trio
import trio.testing

from echo.rpc import Limits, Server
from echo.rpc.testing import memory_channel_to
from tests.support.services import BIDI, ECHO, BytesCodec, call, unary

CODEC = BytesCodec()


async def test_a_call_that_is_cancelled_as_it_gets_its_stream_leaves_it_to_the_next(
    autojump_clock: trio.abc.Clock,
) -> None:
    server = Server([ECHO], codec=CODEC, limits=Limits(max_concurrent_streams=1))
    waiting = trio.CancelScope()
    async with memory_channel_to(server, codec=CODEC) as channel, trio.open_nursery() as nursery:

        async def wait() -> None:
            with waiting:
                await unary(channel, "One", b"x")

        with trio.fail_after(20):
            async with call(channel, "All", BIDI) as stream:
                await stream.send_message(b"x")
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                (session,) = channel._sessions
                (running,) = session.connection.streams.values()
                waiting.cancel()
                running.reset()  # The stream is for the call that was cancelled, which has not run yet.
            assert await unary(channel, "One", b"next") == b"next"
