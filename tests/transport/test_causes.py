"""Why a call ended early: the first cause counts, whatever happens to it later."""

from collections.abc import Collection

import trio
import trio.testing

from echo.rpc import Server
from echo.rpc.testing import memory_channel_to
from echo.transport import ServerCall
from tests.support.services import BIDI, BytesCodec, BytesStream, Service, call

CODEC = BytesCodec()


class Causes:
    """Takes note of why calls ended."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []

    def note(self, calls: Collection[ServerCall], now: float) -> None:  # noqa: ARG002
        self.heard += [call.end_cause for call in calls]


async def test_a_client_that_leaves_a_draining_server_is_not_the_cause() -> None:
    running, over, causes = trio.Event(), trio.Event(), Causes()

    async def hold(_: BytesStream) -> None:
        running.set()
        with trio.CancelScope(shield=True):
            await over.wait()

    server = Server([Service(Hold=(BIDI, hold))], codec=CODEC, notes=[causes])
    async with trio.open_nursery() as nursery, memory_channel_to(server, codec=CODEC) as channel:
        async with call(channel, "Hold", BIDI) as stream:
            await stream.send_message(b"x")
            await running.wait()
            nursery.start_soon(server.drain, 0)
            await trio.testing.wait_all_tasks_blocked()
            await stream.cancel()
            await trio.testing.wait_all_tasks_blocked()
        over.set()
        await trio.testing.wait_all_tasks_blocked()
    assert causes.heard == ["draining"]
