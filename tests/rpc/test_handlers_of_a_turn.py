"""Calls that arrive together may be served by one task. No handler notices who ran before it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import anyio
import pytest
import trio
import trio.lowlevel
import trio.testing
from anyio.lowlevel import checkpoint

from echo.rpc import GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from tests.support.services import CODEC, UNARY, BytesStream, Run, Service, unary

SEEN: ContextVar[str] = ContextVar("SEEN", default="nothing")


async def together(method: Callable[[BytesStream, bytes], Awaitable[bytes]], *messages: bytes) -> dict[bytes, object]:
    """Make a call for each message, all of which arrive at once; the replies or statuses by message."""

    async def handler(stream: BytesStream) -> None:
        message = await stream.recv_message()
        assert message is not None
        await stream.send_message(await method(stream, message))

    async def one(message: bytes) -> None:
        deadline = 0.5 if message.startswith(b"short") else None
        try:
            ends[message] = await unary(channel, "Do", message, timeout=deadline)
        except GRPCError as error:
            ends[message] = error.status

    ends: dict[bytes, object] = {}
    server = Server([Service(Do=(UNARY, handler))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel:
        await unary(channel, "Do", b"first")  # It opens the connection, so that the others need not wait for that.
        async with anyio.create_task_group() as tasks:
            for message in messages:
                tasks.start_soon(one, message)
    return ends


async def test_calls_that_wait_for_nothing_share_a_task() -> None:
    tasks: list[object] = []

    async def method(stream: BytesStream, message: bytes) -> bytes:
        tasks.append(trio.lowlevel.current_task())
        return message

    await together(method, *(b"%d" % number for number in range(20)))
    assert len(tasks) == 21
    assert len(set(tasks)) <= 5  # They may arrive in a few pieces.


def test_a_handler_that_waits_holds_up_nobody(run: Run) -> None:
    async def test() -> None:
        arrived: list[bytes] = []
        all_there = anyio.Event()

        async def method(stream: BytesStream, message: bytes) -> bytes:
            arrived.append(message)
            if len(arrived) == 4:
                all_there.set()
            if message != b"first":
                await all_there.wait()
            return message.upper()

        assert await together(method, b"a", b"b", b"c") == {b"a": b"A", b"b": b"B", b"c": b"C"}

    run(test)


def test_context_variables_are_each_handler_s_own(run: Run) -> None:
    async def test() -> None:
        async def method(stream: BytesStream, message: bytes) -> bytes:
            found = SEEN.get()
            SEEN.set("another call")
            return found.encode()

        ends = await together(method, b"a", b"b", b"c")
        assert ends == dict.fromkeys((b"a", b"b", b"c"), b"nothing")

    run(test)


@pytest.mark.parametrize("order", [(b"short", b"other"), (b"other", b"short")])
def test_a_deadline_is_its_own_call_s(order: tuple[bytes, bytes], run: Run) -> None:
    async def test() -> None:
        async def method(stream: BytesStream, message: bytes) -> bytes:
            if message == b"short":
                await anyio.sleep_forever()
            if message == b"other":
                await anyio.sleep(1)
            return message

        assert await together(method, *order) == {b"short": Status.DEADLINE_EXCEEDED, b"other": b"other"}

    run(test)


async def test_a_deadline_that_was_met_bounds_no_later_call(autojump_clock: trio.abc.Clock) -> None:
    async def method(stream: BytesStream, message: bytes) -> bytes:
        if message == b"long":
            await trio.sleep(60)
        return message

    messages = (b"short 1", b"short 2", b"short 3", b"short 4", b"long")  # Seldom is the long one the first.
    assert await together(method, *messages) == {message: message for message in messages}


def test_an_error_is_its_own_call_s(run: Run) -> None:
    async def test() -> None:
        async def method(stream: BytesStream, message: bytes) -> bytes:
            if message == b"bad":
                raise GRPCError(Status.ABORTED)
            return message

        assert await together(method, b"a", b"bad", b"b") == {b"a": b"a", b"bad": Status.ABORTED, b"b": b"b"}

    run(test)


def test_a_cancel_scope_that_was_not_left_ends_no_other_call(run: Run) -> None:
    async def test() -> None:
        scopes: list[anyio.CancelScope] = []

        async def method(stream: BytesStream, message: bytes) -> bytes:
            if message == b"careless":
                scopes.append(anyio.CancelScope())
                scopes[0].__enter__()
            else:
                await anyio.wait_all_tasks_blocked()
            return message

        messages = (b"a", b"b", b"careless", b"c")
        assert await together(method, *messages) == {message: message for message in messages}

    run(test)


class Incomparable:
    """A value like an array: nobody can say whether it equals another."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")


def test_context_variables_may_have_values_that_cannot_be_compared(run: Run) -> None:
    async def test() -> None:
        variable: ContextVar[Incomparable] = ContextVar("variable")
        variable.set(Incomparable())  # Before the server runs, so that its handlers find it.

        async def method(stream: BytesStream, message: bytes) -> bytes:
            variable.set(Incomparable())
            return message

        assert await together(method, b"a", b"b") == {b"a": b"a", b"b": b"b"}

    run(test)


def test_a_handler_that_cancels_its_task_on_asyncio_cancels_no_other_call() -> None:
    async def main() -> None:
        async def method(stream: BytesStream, message: bytes) -> bytes:
            if message == b"cancels":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()  # It is raised where the task waits next: this handler never does.
            else:
                await checkpoint()
            return message

        messages = (b"a", b"cancels", b"b", b"c")
        with anyio.fail_after(20):
            assert await together(method, *messages) == {message: message for message in messages}

    anyio.run(main, backend="asyncio")
