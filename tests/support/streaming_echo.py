"""The streaming echoes in memory: a server, a channel to it, and calls of each kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, Server
from echo.rpc.testing import memory_channel_to
from echo.services import StreamingEchoService

CLIENT = Cardinality.STREAM_UNARY
SERVER = Cardinality.UNARY_STREAM
BIDI = Cardinality.STREAM_STREAM

PATHS = {
    CLIENT: "/com.gopay.echo.streaming.StreamingServer/ClientStream",
    SERVER: "/com.gopay.echo.streaming.StreamingServer/ServerStream",
    BIDI: "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream",
}
ALL = pytest.mark.parametrize("kind", list(PATHS), ids=lambda kind: kind.name.lower())
TAKING_MANY = pytest.mark.parametrize("kind", [CLIENT, BIDI], ids=lambda kind: kind.name.lower())

Stream = ClientStream[StreamMessage, StreamResponse]


class Echo:
    """A server in memory, and a channel to it."""

    def __init__(self, server: Server, channel: Channel) -> None:
        self.server = server
        self.channel = channel

    def call(self, kind: Cardinality, *, timeout: float | None = None) -> Stream:
        return self.channel.request(PATHS[kind], kind, StreamMessage, StreamResponse, timeout=timeout)


@asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    """On leaving, no call may be open on either side."""
    server = Server([StreamingEchoService()])
    async with memory_channel_to(server) as channel:
        yield Echo(server, channel)
        await trio.testing.wait_all_tasks_blocked()
        assert (channel.calls, server.calls) == (0, 0)


async def received(stream: Stream) -> StreamResponse:
    """The next message; there must be one."""
    response = await stream.recv_message()
    assert response is not None
    return response
