"""Calls that our client makes to a stock grpcio server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import grpclib.client
import pytest

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, open_channel
from tests.support.leaks import no_leaks
from tests.support.serving import LOOPBACK

UNARY = Cardinality.UNARY_UNARY
CLIENT_STREAM = Cardinality.STREAM_UNARY
SERVER_STREAM = Cardinality.UNARY_STREAM
BIDI = Cardinality.STREAM_STREAM

STREAMING = "/com.gopay.echo.streaming.StreamingServer"
PATHS = {
    CLIENT_STREAM: f"{STREAMING}/ClientStream",
    SERVER_STREAM: f"{STREAMING}/ServerStream",
    BIDI: f"{STREAMING}/BidirectionalStream",
}

KINDS = pytest.mark.parametrize("kind", list(Cardinality), ids=lambda kind: kind.name.lower())

Metadata = dict[str, str | bytes]
Stream = ClientStream[Message, Response] | ClientStream[StreamMessage, StreamResponse]


@asynccontextmanager
async def channel_to(port: int) -> AsyncIterator[Channel]:
    """Our client; it runs while the block does, and leaves nothing."""
    async with no_leaks(descriptors=False) as leaks, open_channel(LOOPBACK, port) as channel:
        leaks.watch(channel)
        yield channel


def as_stubs_want_it(channel: Channel) -> grpclib.client.Channel:
    """betterproto's stubs name grpclib's channel, and use nothing that ours does not have."""
    return cast("grpclib.client.Channel", channel)


def request(
    channel: Channel, kind: Cardinality, metadata: Metadata | None = None, *, timeout: float | None = None
) -> ClientStream[StreamMessage, StreamResponse]:
    """A call of a streaming method."""
    return channel.request(PATHS[kind], kind, StreamMessage, StreamResponse, metadata=metadata, timeout=timeout)


async def converse(
    channel: Channel, kind: Cardinality, text: str, metadata: Metadata | None = None, *, timeout: float | None = None
) -> tuple[list[str], Stream]:
    """Make a call of this type with one message; gives the texts answered, and the call, which has ended.

    Raises:
        GRPCError: It ended so.
    """
    stream: Stream
    if kind is UNARY:
        unary = channel.request(
            "/com.gopay.echo.Server/GetReply", UNARY, Message, Response, metadata=metadata, timeout=timeout
        )
        async with unary as stream:
            await stream.send_message(Message(text), end=True)
            texts = [reply.response async for reply in stream]
        return texts, stream
    async with request(channel, kind, metadata, timeout=timeout) as stream:
        await stream.send_message(StreamMessage(stream_id="a", message=text), end=True)
        texts = [reply.response async for reply in stream]
    return texts, stream


async def failure(
    channel: Channel,
    kind: Cardinality,
    text: str = "",
    metadata: Metadata | None = None,
    *,
    timeout: float | None = None,
) -> GRPCError:
    """The error a call ends with."""
    with pytest.raises(GRPCError) as raised:
        await converse(channel, kind, text, metadata, timeout=timeout)
    return raised.value
