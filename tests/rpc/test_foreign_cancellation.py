"""On asyncio a handler can raise `CancelledError` although nobody cancelled its call: only that call fails."""

import asyncio
import logging

import anyio
import pytest
from anyio.abc import SocketAttribute

from echo.rpc import Channel, GRPCError, Server, Status, open_channel, open_tcp_listener
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
        with anyio.fail_after(30):
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


async def wait_in_a_nursery(stream: BytesStream) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        await stream.send_message(b"begun")


async def wait_for_a_task(stream: BytesStream) -> None:
    task = asyncio.ensure_future(asyncio.sleep(10))
    await stream.send_message(b"begun")
    await task


def test_a_program_that_ends_while_its_server_runs_logs_no_failed_calls(caplog: pytest.LogCaptureFixture) -> None:
    """`asyncio.run` then cancels all tasks at once, those of the handlers among them."""
    ended: list[str] = []

    async def wait(stream: BytesStream) -> None:
        try:
            await stream.send_message(b"begun")
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    async def use(channel: Channel, method: str, begun: asyncio.Event) -> None:
        async with call(channel, method, BIDI) as stream:
            await stream.send_message(b"x")
            assert await stream.recv_message() == b"begun"
            begun.set()
            await stream.recv_message()

    async def clients(port: int, methods: dict[str, asyncio.Event]) -> None:
        async with open_channel("127.0.0.1", port, codec=BytesCodec()) as channel, asyncio.TaskGroup() as calls:
            for method, begun in methods.items():
                calls.create_task(use(channel, method, begun))

    async def main() -> None:
        service = Service(A=(BIDI, wait), B=(BIDI, wait_in_a_nursery), C=(BIDI, wait_for_a_task), D=(BIDI, wait))
        listener = await open_tcp_listener("127.0.0.1", 0)
        port: int = listener.extra(SocketAttribute.local_port)
        methods = {name: asyncio.Event() for name in "ABCD"}
        tasks.append(asyncio.create_task(Server([service], codec=BytesCodec()).serve(listener)))
        tasks.append(asyncio.create_task(clients(port, methods)))
        async with asyncio.timeout(20):
            for begun in methods.values():
                await begun.wait()

    tasks: list[asyncio.Task[None]] = []  # Nobody waits for them.
    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert caplog.text == ""
    assert ended == ["cancelled", "cancelled"]
    assert [task.cancelled() for task in tasks] == [True, True]
