"""On asyncio a handler can raise `CancelledError` although nobody cancelled its call: only that call fails."""

import asyncio
import logging

import anyio
import pytest

from echo.rpc import GRPCError, Status
from echo.rpc.testing import memory_channel
from tests.support.services import BIDI, UNARY, BytesCodec, BytesStream, Service, call


async def await_cancelled_task(stream: BytesStream) -> None:
    task = asyncio.ensure_future(asyncio.sleep(10))
    task.cancel()
    await task


async def echo(stream: BytesStream) -> None:
    async for message in stream:
        await stream.send_message(message)


def test_a_handler_that_awaits_a_cancelled_task_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        service = Service(One=(UNARY, await_cancelled_task), Echo=(BIDI, echo))
        with anyio.fail_after(10):
            async with (
                memory_channel([service], codec=BytesCodec()) as channel,
                call(channel, "Echo", BIDI) as other,
            ):
                await other.send_message(b"before")
                assert await other.recv_message() == b"before"
                with pytest.raises(GRPCError) as raised:
                    async with call(channel, "One", UNARY) as failing:
                        await failing.send_message(b"x", end=True)
                        await failing.recv_message()
                assert (raised.value.status, raised.value.message) == (Status.INTERNAL, "internal server error")
                await other.send_message(b"after")
                assert await other.recv_message() == b"after"
                await other.end()
                assert await other.recv_message() is None

    with caplog.at_level(logging.ERROR):
        anyio.run(main, backend="asyncio")
    assert "/test.Service/One failed" in caplog.text
