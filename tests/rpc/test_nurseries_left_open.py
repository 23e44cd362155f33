"""A handler that leaves a nursery or a cancel scope open costs no other call, and the log names its method.

On trio. On asyncio anyio ends the connection: its task has a scope of its own around the handler's.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
import trio

from echo.rpc import Channel, ClientStream, Server
from echo.rpc.testing import memory_channel_to
from tests.support.leaks import no_leaks, settles
from tests.support.services import BIDI, UNARY, BytesCodec, BytesStream, Service, call, echo_all, path, unary

CODEC = BytesCodec()
OPENED: list[object] = []  # So that nothing is closed by the garbage collector.


async def leave_scope(_: list[str]) -> None:
    OPENED.append(scope := trio.CancelScope())
    scope.__enter__()


async def leave_nursery(ends: list[str]) -> None:
    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ends.append("cancelled")

    OPENED.append(manager := trio.open_nursery())
    nursery = await manager.__aenter__()
    nursery.start_soon(work)
    await trio.lowlevel.checkpoint()


async def leave_task_group(_: list[str]) -> None:
    OPENED.append(group := anyio.create_task_group())
    await group.__aenter__()


async def leave_generator(_: list[str]) -> None:
    """As it happens in practice: a generator with a nursery in it is not read to its end."""

    async def numbers() -> AsyncIterator[int]:
        async with trio.open_nursery():
            yield 1

    OPENED.append(generator := numbers())
    async for _number in generator:
        break


@asynccontextmanager
async def served(leave: Callable[[list[str]], Awaitable[None]]) -> AsyncIterator[tuple[Server, Channel, list[str]]]:
    """A channel to a server with a careless method, and what became of the tasks that it left behind."""

    async def careless(stream: BytesStream) -> None:
        message = await stream.recv_message()
        assert message is not None
        await leave(ends)
        await stream.send_message(message)

    ends: list[str] = []
    server = Server([Service(Careless=(UNARY, careless), Talk=(BIDI, echo_all))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel:
        yield server, channel, ends
    OPENED.clear()


async def say(stream: "ClientStream[bytes, bytes]", message: bytes) -> None:
    await stream.send_message(message)
    assert await stream.recv_message() == message


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize("leave", [leave_scope, leave_nursery, leave_task_group, leave_generator])
async def test_the_connection_s_other_calls_continue(
    leave: Callable[[list[str]], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    async with no_leaks() as leaks, served(leave) as (server, channel, ends):
        leaks.watch(server)
        async with call(channel, "Talk", BIDI) as talk:
            await say(talk, b"before")
            assert await unary(channel, "Careless", b"one") == b"one"
            await say(talk, b"between")
            assert await unary(channel, "Careless", b"two") == b"two"
            await say(talk, b"after")
            assert ends == (["cancelled"] * 2 if leave is leave_nursery else [])
            await talk.end()
            assert await talk.recv_message() is None
        assert await unary(channel, "Careless", b"three") == b"three"
    reported = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(reported) == 3
    assert all(path("Careless") in line for line in reported), reported


async def test_a_connection_whose_nursery_will_fail_ends_with_its_last_call() -> None:
    async with served(leave_nursery) as (server, channel, _):
        async with call(channel, "Talk", BIDI) as talk:
            await say(talk, b"before")
            assert await unary(channel, "Careless", b"one") == b"one"
            assert server.connections == 1
            assert await unary(channel, "Careless", b"two") == b"two"
            assert server.connections == 2  # The first takes no more calls.
        await settles(lambda: server.connections, 0, "connections")


async def test_a_server_that_is_cancelled_meanwhile_raises_nothing() -> None:
    async with served(leave_nursery) as (server, channel, _), call(channel, "Talk", BIDI) as talk:
        await say(talk, b"before")
        assert await unary(channel, "Careless", b"one") == b"one"
        assert server.connections == 1
