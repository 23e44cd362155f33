"""On asyncio what a channel's user supplies can raise `CancelledError` although nobody cancelled it: one call fails.

It would otherwise end the channel's or the stub's block, without an error.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import anyio
import grpc
import pytest

from echo.pb.com.gopay.echo.streaming import StreamingServerStub, StreamMessage
from echo.rpc import Channel, GRPCError, Server, Status, bind, open_channel_over
from echo.rpc.channels import open_channel_to
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.services import StreamingEchoService
from tests.support.services import UNARY, BytesCodec, Service, echo_one, failure, path

DONE = "all of the block was run"
HEDGED = {"methodConfig": [{"name": [{}], "hedgingPolicy": {"maxAttempts": 2, "hedgingDelay": "0s"}}]}


async def await_cancelled_task(*_: object) -> NoReturn:
    task = asyncio.ensure_future(asyncio.sleep(10))
    task.cancel()
    await task
    raise AssertionError


async def messages() -> AsyncIterator[StreamMessage]:
    yield StreamMessage("a")
    await await_cancelled_task()


def on_asyncio(main: Callable[[], Awaitable[str]]) -> None:
    """Run a function, which returns ``DONE`` at the end of its innermost block."""

    async def bounded() -> None:
        with anyio.fail_after(20):
            assert await main() == DONE

    anyio.run(bounded, backend="asyncio")


def test_messages_for_a_bound_stub() -> None:
    async def main() -> str:
        async with memory_channel([StreamingEchoService()]) as channel, bind(StreamingServerStub, channel) as stub:
            for _ in range(2):
                with pytest.raises(GRPCError) as raised:
                    async for _ in stub.bidirectional_stream(messages()):
                        pass
                assert raised.value.status is Status.CANCELLED
            with pytest.raises(GRPCError) as raised:
                await stub.client_stream(messages())
            assert raised.value.status is Status.CANCELLED
            assert (await stub.client_stream([StreamMessage("a")])).sequence_number == 1
            return DONE

    on_asyncio(main)


async def grpcio_calls(channel: Channel) -> None:
    """A call by a stub of grpcio's fails, the next one does not."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary(path("One"))(b"a")
    assert raised.value.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAUTHENTICATED)
    assert await channel.unary_unary(path("One"))(b"b") == b"b"


def test_messages_for_a_stub_of_grpcio_s() -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield b"a"
        await await_cancelled_task()

    async def main() -> str:
        async with memory_channel_to(Server([Service(One=(UNARY, echo_one))], codec=BytesCodec())) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await channel.stream_unary(path("One"))(requests())
            assert raised.value.code() is grpc.StatusCode.CANCELLED
            assert await channel.unary_unary(path("One"))(b"b") == b"b"
            return DONE

    on_asyncio(main)


def test_an_interceptor_around_a_call_by_a_stub_of_grpcio_s() -> None:
    calls = []

    @asynccontextmanager
    async def once(call: Any) -> AsyncIterator[None]:
        calls.append(call)
        if len(calls) == 1:
            await await_cancelled_task()
        yield

    async def main() -> str:
        server = Server([Service(One=(UNARY, echo_one))], codec=BytesCodec())
        async with memory_channel_to(server, interceptors=[once]) as channel:
            await grpcio_calls(channel)
            return DONE

    on_asyncio(main)


class Credentials:
    """Fail at certain requests, which are counted from 1."""

    def __init__(self, *failing: int) -> None:
        self._failing = failing
        self.asked = 0

    async def __call__(self, *_: str) -> dict[str, str | bytes]:
        self.asked += 1
        if self.asked in self._failing:
            await await_cancelled_task()
        return {"authorization": "me"}


def test_call_credentials() -> None:
    async def main() -> str:
        server = Server([Service(One=(UNARY, echo_one))], codec=BytesCodec())
        async with memory_channel_to(
            server, codec=BytesCodec(), call_credentials=Credentials(1, 2), plaintext_credentials=True
        ) as channel:
            error = await failure(channel, "One")
            assert error.status is Status.UNAUTHENTICATED
            assert error.message == "call credentials failed: CancelledError: "
            await grpcio_calls(channel)
            return DONE

    on_asyncio(main)


def test_call_credentials_of_a_hedged_call() -> None:
    async def main() -> str:
        credentials = Credentials(2)
        server = Server([Service(One=(UNARY, lambda _: anyio.sleep_forever()))], codec=BytesCodec())
        async with memory_channel_to(
            server,
            codec=BytesCodec(),
            call_credentials=credentials,
            plaintext_credentials=True,
            service_config=HEDGED,
        ) as channel:
            assert (await failure(channel, "One", timeout=60)).status is Status.UNAUTHENTICATED
            assert credentials.asked == 2
            return DONE

    on_asyncio(main)


def test_a_resolver() -> None:
    async def main() -> str:
        async with open_channel_to(await_cancelled_task, "somewhere", codec=BytesCodec()) as channel:
            error = await failure(channel, "One")
            assert error.status is Status.UNAVAILABLE
            assert error.message == "cannot connect to somewhere: it was cancelled"
            return DONE

    on_asyncio(main)


def test_what_opens_a_channel_s_byte_streams() -> None:
    async def main() -> str:
        async with open_channel_over(await_cancelled_task, "somewhere", codec=BytesCodec()) as channel:
            for _ in range(2):
                error = await failure(channel, "One")
                assert error.status is Status.UNAVAILABLE
                assert error.message == "cannot connect to somewhere: it was cancelled"
            return DONE

    on_asyncio(main)
