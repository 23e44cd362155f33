"""A task that takes messages which are there already lets others run now and then."""

import trio
import trio.testing

from echo.rpc import Server
from echo.rpc.testing import memory_channel_to
from tests.support.services import CLIENT_STREAM, BytesCodec, BytesStream, Service, call

CODEC = BytesCodec()
MESSAGES = 1_000


async def test_messages_that_have_arrived_do_not_keep_others_from_running() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async def take_all(stream: BytesStream) -> None:
        await arrived.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turns)
            taken = [message async for message in stream]
            nursery.cancel_scope.cancel()
        await stream.send_message(b"%d" % len(taken))

    arrived = trio.Event()
    server = Server([Service(All=(CLIENT_STREAM, take_all))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel, call(channel, "All", CLIENT_STREAM) as stream:
        for _ in range(MESSAGES):
            await stream.send_message(b"x")
        await stream.end()
        await trio.testing.wait_all_tasks_blocked()
        arrived.set()
        assert await stream.recv_message() == b"%d" % MESSAGES
    assert turns > 10
