"""A handler that raises an exception meant to end the process: it propagates, and the client still gets a status.

On trio alone: asyncio's own loop ends at once by a bare `SystemExit` in a task.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
import trio
from anyio.abc import ByteStream

from echo.rpc import Channel, GRPCError, Server, Status, open_channel_over
from echo.transport.memory import memory_stream_pair
from tests.support.services import CODEC, UNARY, BytesStream, Method, Service, unary


class Fatal(BaseException):
    """Neither an `Exception` nor being cancelled."""


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


@asynccontextmanager
async def served(handler: Method) -> AsyncIterator[tuple[Channel, list[BaseException]]]:
    """A channel to a server of that handler, and what gets out of its connections."""
    server = Server([Service(One=(UNARY, handler))], codec=CODEC)
    escaped: list[BaseException] = []

    async def serve(stream: ByteStream) -> None:
        try:
            await server.serve_connection(stream)
        except BaseException as error:
            fatal = [leaf for leaf in leaves(error) if not isinstance(leaf, anyio.get_cancelled_exc_class())]
            escaped.extend(fatal)
            if not fatal:
                raise

    async with anyio.create_task_group() as tasks:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            tasks.start_soon(serve, theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC) as channel:
            yield channel, escaped
        tasks.cancel_scope.cancel()


async def fails_internally(channel: Channel) -> None:
    with pytest.raises(GRPCError) as raised:
        await unary(channel, "One")
    assert (raised.value.status, raised.value.message) == (Status.INTERNAL, "internal server error")


RAISED: dict[str, Callable[[], BaseException]] = {
    "bare": SystemExit,
    "interrupted": KeyboardInterrupt,
    "of its own": Fatal,
    "in a group": lambda: BaseExceptionGroup("", [SystemExit()]),
    "in groups": lambda: BaseExceptionGroup("", [BaseExceptionGroup("", [KeyboardInterrupt()])]),
    "along with a status": lambda: BaseExceptionGroup("", [GRPCError(Status.NOT_FOUND, "no"), SystemExit()]),
    "along with a bug": lambda: BaseExceptionGroup("", [ExceptionGroup("", [ValueError()]), SystemExit()]),
}


@pytest.mark.parametrize("make", RAISED.values(), ids=RAISED.keys())
def test_a_fatal_exception_propagates_and_the_call_ends(make: Callable[[], BaseException]) -> None:
    async def handler(stream: BytesStream) -> None:
        raise make()

    async def main() -> None:
        async with served(handler) as (channel, escaped):
            await fails_internally(channel)
            await anyio.wait_all_tasks_blocked()
            (error,) = escaped
            assert isinstance(error, SystemExit | KeyboardInterrupt | Fatal)

    trio.run(main)


def test_a_fatal_exception_leaves_the_handler_s_own_nursery() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def refuse() -> None:
        raise GRPCError(Status.NOT_FOUND, "no")

    async def handler(stream: BytesStream) -> None:
        async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
            outer.start_soon(anyio.sleep_forever)
            inner.start_soon(refuse)
            inner.start_soon(leave)

    async def main() -> None:
        async with served(handler) as (channel, escaped):
            await fails_internally(channel)
            await anyio.wait_all_tasks_blocked()
            (error,) = escaped
            assert isinstance(error, SystemExit)
            assert error.code == 3

    trio.run(main)


def test_a_fatal_exception_leaves_a_handler_that_is_being_cancelled() -> None:
    async def main() -> None:
        waiting = anyio.Event()

        async def wait_and_leave() -> None:
            waiting.set()
            try:
                await anyio.sleep_forever()
            finally:
                raise SystemExit(4)

        async def handler(stream: BytesStream) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_and_leave)
                tasks.start_soon(anyio.sleep_forever)

        async with served(handler) as (channel, escaped):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(unary, channel, "One")
                await waiting.wait()
                tasks.cancel_scope.cancel()
            await anyio.wait_all_tasks_blocked()
            (error,) = escaped
            assert isinstance(error, SystemExit)
            assert error.code == 4

    trio.run(main)


def test_a_bug_in_the_same_group_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(stream: BytesStream) -> None:
        raise BaseExceptionGroup("", [SystemExit(), ValueError("a bug")])

    async def main() -> None:
        async with served(handler) as (channel, _):
            await fails_internally(channel)

    with caplog.at_level(logging.ERROR, "echo.rpc.dispatch"):
        trio.run(main)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is not None
    assert [str(leaf) for leaf in leaves(record.exc_info[1])] == ["a bug"]
