"""A handler that leaves a nursery or a cancel scope open costs no other call, and the log names its method."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
import trio

from echo.rpc import Channel, ClientStream, Server
from echo.rpc.testing import memory_channel_to
from tests.support.leaks import no_leaks, settles
from tests.support.services import BIDI, CODEC, UNARY, BytesStream, Run, Service, call, echo_all, path, unary

OPENED: list[object] = []  # So that nothing is closed by the garbage collector.
ENDS: list[str] = []  # What became of tasks in what was left open.

Leave = Callable[[], Awaitable[None]]


@pytest.fixture(autouse=True)
def nothing_open() -> None:
    OPENED.clear()
    ENDS.clear()


async def leave_scope() -> None:
    OPENED.append(scope := anyio.CancelScope())
    scope.__enter__()


async def leave_task_group() -> None:
    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ENDS.append("cancelled")

    OPENED.append(group := anyio.create_task_group())
    await group.__aenter__()
    group.start_soon(work)
    await anyio.lowlevel.checkpoint()


async def leave_nursery() -> None:
    OPENED.append(manager := trio.open_nursery())
    await manager.__aenter__()


async def leave_generator() -> None:
    """As it happens in practice: a generator with a nursery in it is not read to its end."""

    async def numbers() -> AsyncIterator[int]:
        async with trio.open_nursery():
            yield 1

    OPENED.append(generator := numbers())
    async for _ in generator:
        break


@asynccontextmanager
async def served(leave: Leave) -> AsyncIterator[tuple[Server, Channel]]:
    """A channel to a server with a method that leaves something open."""

    async def careless(stream: BytesStream) -> None:
        message = await stream.recv_message()
        assert message is not None
        await leave()
        await stream.send_message(message)

    server = Server([Service(Careless=(UNARY, careless), Talk=(BIDI, echo_all))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel:
        yield server, channel


async def say(stream: "ClientStream[bytes, bytes]", message: bytes) -> None:
    await stream.send_message(message)
    assert await stream.recv_message() == message


async def talk_meanwhile(channel: Channel, caplog: pytest.LogCaptureFixture) -> None:
    async with call(channel, "Talk", BIDI) as talk:
        await say(talk, b"before")
        assert await unary(channel, "Careless", b"one") == b"one"
        await say(talk, b"between")
        assert await unary(channel, "Careless", b"two") == b"two"
        await say(talk, b"after")
        await talk.end()
        assert await talk.recv_message() is None
    assert await unary(channel, "Careless", b"three") == b"three"
    reported = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(reported) == 3
    assert all(path("Careless") in line for line in reported), reported


@pytest.mark.parametrize("leave", [leave_scope, leave_task_group])
def test_the_connection_s_other_calls_continue(leave: Leave, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with served(leave) as (_, channel):
            await talk_meanwhile(channel, caplog)
        assert (["cancelled"] * 3 if leave is leave_task_group else []) == ENDS

    run(test)


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize("leave", [leave_nursery, leave_generator])
async def test_a_nursery_of_trio_s_leaves_nothing_behind(leave: Leave, caplog: pytest.LogCaptureFixture) -> None:
    async with no_leaks() as leaks, served(leave) as (server, channel):
        leaks.watch(server)
        await talk_meanwhile(channel, caplog)


async def test_a_connection_whose_nursery_will_fail_ends_with_its_last_call() -> None:
    async with served(leave_task_group) as (server, channel):
        async with call(channel, "Talk", BIDI) as talk:
            await say(talk, b"before")
            assert await unary(channel, "Careless", b"one") == b"one"
            assert ENDS == ["cancelled"]
            assert server.tally.connections == 1
            assert await unary(channel, "Careless", b"two") == b"two"
            assert server.tally.connections == 2  # The first takes no more calls.
            await say(talk, b"after")
        await settles(lambda: server.connections, 0, "connections")


def test_a_server_that_is_cancelled_meanwhile_raises_nothing(run: Run) -> None:
    async def test() -> None:
        async with served(leave_task_group) as (server, channel), call(channel, "Talk", BIDI) as talk:
            await say(talk, b"before")
            assert await unary(channel, "Careless", b"one") == b"one"
            assert server.connections == 1

    run(test)
