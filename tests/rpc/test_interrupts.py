"""Ctrl-C raises `KeyboardInterrupt` in the program, whatever its channel or server does; no error takes its place."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trio
from anyio.abc import ByteStream, TaskStatus
from anyio.lowlevel import checkpoint

from echo.rpc import Channel, GRPCError, Server, open_channel_over, serve
from echo.transport.memory import memory_stream_pair
from tests.support.services import BIDI, UNARY, BytesCodec, Service, call, echo_all, echo_one, path, unary

Act = Callable[[], object]


class Acting(ByteStream):
    """A stream that does something before it sends or receives, or when it is closed, once it was told to."""

    def __init__(self, stream: ByteStream, when: str, act: Act) -> None:
        self._stream = stream
        self._when = when
        self._act = act
        self.armed = False

    async def send(self, item: bytes) -> None:
        self._reach("send")
        await self._stream.send(item)

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        data = await self._stream.receive(max_bytes)
        self._reach("receive")
        return data

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        try:
            self._reach("close")
        finally:
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
        for _ in range(3):
            await checkpoint()  # While the calls end, and with them perhaps the block.

    def _reach(self, what: str) -> None:
        if self.armed and what == self._when:
            self.armed = False
            self._act()


@asynccontextmanager
async def channel_over(when: str, act: Act) -> AsyncIterator[tuple[Channel, Acting]]:
    """A channel that is connected, and its stream."""
    server = Server([Service(One=(UNARY, echo_one), Echo=(BIDI, echo_all))], codec=BytesCodec())
    streams = []
    async with anyio.create_task_group() as tasks:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            tasks.start_soon(server.serve_connection, theirs)
            streams.append(Acting(ours, when, act))
            return streams[0]

        try:
            async with open_channel_over(dial, "memory", codec=BytesCodec()) as channel:
                await channel.connect()
                yield channel, streams[0]
        finally:
            tasks.cancel_scope.cancel()


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


async def call_unary(channel: Channel) -> None:
    await unary(channel, "One", timeout=60)


async def call_bidi(channel: Channel) -> None:
    async with call(channel, "Echo", BIDI, timeout=60) as stream:
        await stream.send_message(b"a")
        await stream.recv_message()


async def call_like_grpcio(channel: Channel) -> None:
    await channel.unary_unary(path("One"))(b"a", timeout=60)


@pytest.mark.parametrize("run", [trio.run, asyncio.run], ids=["trio", "asyncio"])
@pytest.mark.parametrize("make_call", [call_unary, call_bidi, call_like_grpcio])
@pytest.mark.parametrize("when", ["send", "receive"])
def test_ctrl_c_in_a_task_of_the_channel(
    run: Callable[..., None], make_call: Callable[[Channel], Awaitable[None]], when: str
) -> None:
    ended = []

    async def main() -> None:
        async with channel_over(when, ctrl_c) as (channel, stream):
            stream.armed = True
            try:
                await make_call(channel)
                await anyio.sleep_forever()
            except BaseException as error:
                ended.append(error)
                raise

    with pytest.raises(BaseException) as raised:  # noqa: PT011 - a group around it, as the test has a nursery
        run(main if run is trio.run else main())
    assert only_leaf(raised.value) is KeyboardInterrupt
    (error,) = ended
    assert not isinstance(error, Exception)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_ctrl_c_in_the_task_of_a_call_like_grpcio_s(backend: str) -> None:
    ended = []

    def interrupt(request: bytes) -> bytes:
        ctrl_c()
        return request

    async def main() -> None:
        async with channel_over("never", ctrl_c) as (channel, _):
            try:
                await channel.unary_unary(path("One"), interrupt)(b"a", timeout=10)
                await anyio.sleep_forever()
            except BaseException as error:
                ended.append(type(error))
                raise

    with pytest.raises(BaseException) as raised:  # noqa: PT011 - as above
        anyio.run(main, backend=backend)
    assert only_leaf(raised.value) is KeyboardInterrupt
    assert ended == [KeyboardInterrupt if backend == "trio" else asyncio.CancelledError]


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@pytest.mark.parametrize("when", ["send", "close"])
def test_the_block_of_a_channel_raises_keyboard_interrupt_itself(backend: str, when: str) -> None:
    async def main() -> None:
        ours, theirs = memory_stream_pair(10)
        stream = Acting(ours, when, ctrl_c)
        stream.armed = True

        connecting = anyio.CancelScope()

        async def dial() -> ByteStream:
            if when == "close":  # The block is left soon, which closes the connection.
                connecting.deadline = anyio.current_time() + 0.05
            return stream

        async with theirs, open_channel_over(dial, "memory") as channel:
            with connecting:
                await channel.connect()
        await anyio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=backend)


def test_an_error_in_a_task_of_the_channel_is_not_hidden_by_the_calls_that_it_ends() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with channel_over("send", fail) as (channel, stream):
            stream.armed = True
            await call_unary(channel)

    with pytest.raises(BaseExceptionGroup) as raised:
        trio.run(main)
    assert raised.group_contains(ZeroDivisionError)
    assert raised.group_contains(GRPCError)


def only_leaf(error: BaseException) -> type[BaseException]:
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    return type(error)


class Interrupting(TaskStatus[Any]):
    """Presses Ctrl-C as soon as the server has started, in a thread, so that the server waits by then."""

    def started(self, _: object = None) -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_a_server_raises_keyboard_interrupt_itself(backend: str) -> None:
    async def main() -> None:
        await serve([Service(One=(UNARY, echo_one))], "127.0.0.1", 0, task_status=Interrupting())

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=backend)
