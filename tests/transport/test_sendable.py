"""A handler may send again once no more than ``max_unsent`` bytes of its stream are unsent."""

import pytest
import trio
import trio.testing

from echo.rpc import Limits, Server
from echo.rpc.testing import memory_channel_to
from tests.support.services import BIDI, BytesCodec, BytesStream, Service, call

CODEC = BytesCodec()
WINDOW, UNSENT = 65_535, 10_000
PREFIX = 5


@pytest.mark.parametrize(("more", "sendable"), [(0, True), (1, False)])
async def test_what_the_window_leaves_unsent_may_be_as_much_as_the_limit(more: int, sendable: bool) -> None:
    begun, done = trio.Event(), trio.Event()

    async def pour(stream: BytesStream) -> None:
        await stream.send_message(bytes(WINDOW + UNSENT + more - PREFIX))
        begun.set()
        await trio.testing.wait_all_tasks_blocked()
        await stream.wait_until_sendable()
        done.set()

    limits = Limits(stream_window=WINDOW, max_unsent=UNSENT)
    server = Server([Service(Pour=(BIDI, pour))], codec=CODEC, limits=limits)
    async with memory_channel_to(server, codec=CODEC, limits=limits) as channel, call(channel, "Pour", BIDI) as stream:
        await stream.send_request()
        await begun.wait()
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
        assert done.is_set() == sendable
        await stream.cancel()
