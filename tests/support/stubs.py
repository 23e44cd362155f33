"""What tests of bound stubs share: services that end in every way, endless messages, and a stub for them."""

import math
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import cast

import anyio
import pytest

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamingServerStub, StreamMessage, StreamResponse
from echo.rpc import Channel, GRPCError, Server, Status
from echo.rpc.stubs import bind
from echo.rpc.testing import memory_channel_to
from echo.services import EchoService, StreamingEchoService

Messages = Iterable[StreamMessage] | AsyncIterable[StreamMessage]
Call = Callable[[StreamingServerStub, Messages], Coroutine[None, None, list[StreamResponse]]]


class Endless(StreamingServerBase):
    """Sends endlessly, or receives a message and waits forever. Records whether it was cancelled."""

    def __init__(self) -> None:
        self.took = anyio.Event()
        self.cancelled = anyio.Event()

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        await self._wait(stream_message_iterator)
        return StreamResponse()

    async def server_stream(self, stream_message: StreamMessage) -> AsyncIterator[StreamResponse]:
        try:
            while True:
                yield StreamResponse(response=stream_message.message)
        finally:
            self.cancelled.set()

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        await self._wait(stream_message_iterator)
        yield StreamResponse()

    async def _wait(self, messages: AsyncIterator[StreamMessage]) -> None:
        try:
            async for _ in messages:
                self.took.set()
            await anyio.sleep(math.inf)
        except anyio.get_cancelled_exc_class():
            self.cancelled.set()
            raise


class Hasty(StreamingServerBase):
    """Answers the first message and ends, even if more follow."""

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        message = await anext(stream_message_iterator)
        return StreamResponse(response=message.message)

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        message = await anext(stream_message_iterator)
        yield StreamResponse(response=message.message)


class Refusing(StreamingServerBase):
    """Refuses after the first message."""

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        await anext(stream_message_iterator)
        raise GRPCError(Status.ABORTED, "no")

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        async for _ in stream_message_iterator:
            raise GRPCError(Status.ABORTED, "no")
        yield StreamResponse()


class Source:
    """Messages of a caller that then waits forever. Records whether they were asked for, and whether it was closed."""

    def __init__(self, *messages: StreamMessage) -> None:
        self._messages = messages
        self.begun = False
        self.waits = anyio.Event()
        self.closed = anyio.Event()

    async def __call__(self) -> AsyncGenerator[StreamMessage, None]:
        self.begun = True
        try:
            for message in self._messages:
                yield message
            self.waits.set()
            await anyio.sleep(math.inf)
        finally:
            self.closed.set()


def named(*texts: str) -> list[StreamMessage]:
    return [StreamMessage(stream_id="a", message=text) for text in texts]


def closing(replies: AsyncIterator[StreamResponse]) -> aclosing[AsyncGenerator[StreamResponse, None]]:
    """betterproto declares its generators as iterators."""
    return aclosing(cast("AsyncGenerator[StreamResponse, None]", replies))


async def summary(stub: StreamingServerStub, messages: Messages) -> list[StreamResponse]:
    return [await stub.client_stream(messages)]


async def replies_to(stub: StreamingServerStub, messages: Messages) -> list[StreamResponse]:
    return [reply async for reply in stub.bidirectional_stream(messages)]


EACH_WAY = pytest.mark.parametrize("call", [summary, replies_to], ids=["client_stream", "bidirectional_stream"])


class Broken(Exception):
    """An error in the caller's code."""


@asynccontextmanager
async def bound(
    *services: StreamingServerBase | EchoService,
    timeout: float | None = None,
    metadata: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[StreamingServerStub, Channel]]:
    """A bound stub to services in memory. When the block ends, no call may be open on either side."""
    server = Server(services or [StreamingEchoService()])
    async with memory_channel_to(server) as channel:
        async with bind(StreamingServerStub, channel, timeout=timeout, metadata=metadata) as stub:
            yield stub, channel
        assert channel.calls == 0
        await anyio.wait_all_tasks_blocked()
        assert server.calls == 0
