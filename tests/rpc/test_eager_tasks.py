"""Under asyncio's eager task factory, which starts tasks before ``create_task`` returns, calls are served as ever."""

import asyncio
import sys

import anyio
import anyio.lowlevel
import pytest

from echo.rpc import Channel, GRPCError, Status
from echo.rpc.testing import memory_channel
from tests.support.services import BIDI, UNARY, BytesCodec, BytesStream, Service, call

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has no eager tasks before Python 3.12")


async def at_once(stream: BytesStream) -> None:
    await stream.send_message(await stream.recv_message() or b"")


async def after_a_wait(stream: BytesStream) -> None:
    await anyio.lowlevel.checkpoint()
    await at_once(stream)


async def never(stream: BytesStream) -> None:
    await anyio.sleep_forever()


async def echo(stream: BytesStream) -> None:
    async for message in stream:
        await stream.send_message(message)


def test_calls_of_all_kinds() -> None:
    answers: list[bytes | Status | None] = []

    async def unary(channel: Channel, method: str, timeout: float | None = None) -> None:
        try:
            async with call(channel, method, UNARY, timeout=timeout) as one:
                await one.send_message(method.encode(), end=True)
                answers.append(await one.recv_message())
        except GRPCError as error:
            answers.append(error.status)

    async def chat(channel: Channel) -> None:
        async with call(channel, "Echo", BIDI) as one:
            for number in range(3):
                await one.send_message(b"%d" % number)
                answers.append(await one.recv_message())
            await one.end()
            answers.append(await one.recv_message())

    async def main() -> None:
        if sys.version_info >= (3, 12):
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        service = Service(One=(UNARY, at_once), Two=(UNARY, after_a_wait), Never=(UNARY, never), Echo=(BIDI, echo))
        with anyio.fail_after(20):
            async with memory_channel([service], codec=BytesCodec()) as channel, anyio.create_task_group() as calls:
                for method in ("One", "Two", "One", "Two"):
                    calls.start_soon(unary, channel, method)
                calls.start_soon(unary, channel, "Never", 0.05)
                calls.start_soon(chat, channel)

    anyio.run(main, backend="asyncio")
    expected = [b"One", b"Two", b"One", b"Two", Status.DEADLINE_EXCEEDED, b"0", b"1", b"2", None]
    assert sorted(map(repr, answers)) == sorted(map(repr, expected))
