"""What tests against third-party clients and servers share: the calls and messages, and our client's side of them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import pytest

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, Status, open_channel
from tests.support.grpc_js import Client, GrpcJsServer, grpc_js_client, grpc_js_server, needs_node
from tests.support.leaks import no_leaks
from tests.support.ruby import needs_ruby, ruby_client, ruby_server
from tests.support.serving import LOOPBACK

UNARY = Cardinality.UNARY_UNARY
CLIENT_STREAM = Cardinality.STREAM_UNARY
SERVER_STREAM = Cardinality.UNARY_STREAM
BIDI = Cardinality.STREAM_STREAM

GET_REPLY = "/com.gopay.echo.Server/GetReply"
STREAMING = "/com.gopay.echo.streaming.StreamingServer"
ECHO_PATHS = {
    CLIENT_STREAM: f"{STREAMING}/ClientStream",
    SERVER_STREAM: f"{STREAMING}/ServerStream",
    BIDI: f"{STREAMING}/BidirectionalStream",
}

TEXTS = ["hello", "", "Grüße, 世界 🌍", "a\0b\n"]
MEGABYTE = "é" * 500_000
STATUS_TEXT = "nö, 不行 100% 🙅\n"
METADATA: dict[str, str | bytes] = {
    "initial-text": "some text",
    "initial-octets-bin": b"\x00\xff,;\n",
    "trailing-text": "~ more ~",
    "trailing-octets-bin": bytes(range(256)),
}

KINDS = pytest.mark.parametrize("kind", list(Cardinality), ids=lambda kind: kind.name.lower())


@dataclass(frozen=True)
class Make:
    """An implementation of gRPC that is neither ours nor grpcio.

    Attributes:
        client: A client of the server on a port; files make it TLS.
        server: A server; files make it TLS.
        late: How it may refuse a call that arrives while it drains.
        without_head: What its client has for the status of calls that ended before their heads came, where that is an
            error of its own.
    """

    client: Callable[..., AbstractAsyncContextManager[Client]]
    server: Callable[..., AbstractAsyncContextManager[GrpcJsServer]]
    late: frozenset[Status]
    without_head: Mapping[Cardinality, int]


NO_HEAD: Final = -1  # Of Ruby's.

GRPC_JS: Final = Make(grpc_js_client, grpc_js_server, frozenset({Status.UNAVAILABLE}), {})
# With the latter, its core rejects clients that arrive while it drains.
RUBY: Final = Make(
    ruby_client, ruby_server, frozenset({Status.UNAVAILABLE, Status.CANCELLED}), {SERVER_STREAM: NO_HEAD}
)

EACH_MAKE = pytest.mark.parametrize(
    "make", [pytest.param(GRPC_JS, marks=needs_node, id="grpc-js"), pytest.param(RUBY, marks=needs_ruby, id="ruby")]
)


@asynccontextmanager
async def channel_to(port: int) -> AsyncIterator[Channel]:
    """Our client, for the block; it must leak nothing."""
    async with no_leaks() as leaks, open_channel(LOOPBACK, port) as channel:
        leaks.watch(channel)
        yield channel


def request(
    channel: Channel, kind: Cardinality, metadata: dict[str, str | bytes] | None = None, *, timeout: float | None = None
) -> ClientStream[StreamMessage, StreamResponse]:
    """A call of a streaming method."""
    return channel.request(ECHO_PATHS[kind], kind, StreamMessage, StreamResponse, metadata=metadata, timeout=timeout)


Call = ClientStream[Message, Response] | ClientStream[StreamMessage, StreamResponse]


async def converse(
    channel: Channel,
    kind: Cardinality,
    text: str = "hi",
    metadata: dict[str, str | bytes] | None = None,
    *,
    timeout: float | None = None,
) -> tuple[list[str], Call]:
    """Make a call of this type with one message; returns the texts of the replies, and the ended call."""
    stream: Call
    if kind is UNARY:
        unary = channel.request(GET_REPLY, UNARY, Message, Response, metadata=metadata, timeout=timeout)
        async with unary as stream:
            await stream.send_message(Message(text), end=True)
            return [reply.response async for reply in stream], stream
    async with request(channel, kind, metadata, timeout=timeout) as stream:
        await stream.send_message(StreamMessage(stream_id="a", message=text), end=True)
        return [reply.response async for reply in stream], stream
