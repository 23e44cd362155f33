"""Compression of sent messages, seen as bytes on the wire: by a server, by a channel, by a call."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from anyio.abc import ByteStream

from echo.rpc import Channel, GRPCError, Server, Status, open_channel_over
from echo.rpc.testing import memory_channel
from echo.transport.background import open_background
from echo.transport.memory import memory_stream_pair
from echo.wire import head
from echo.wire.limits import Limits
from echo.wire.message import MIN_COMPRESSED, MessageDecoder, encode_compressed, encode_message
from tests.support.http2_frames import data
from tests.support.raw import raw_client
from tests.support.services import BIDI, CODEC, ECHO, BytesStream, Service, call, on_both_loops, unary
from tests.support.serving import serving
from tests.support.target import request

SAME = b"so much of the same " * 50_000  # A megabyte that is a few kilobytes by gzip.
NOISE = random.Random(1).randbytes(100_000)
FEW = 20_000


class Line(ByteStream):
    """A stream whose bytes are counted.

    Attributes:
        sent: Bytes that went out,
        received: and came in.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.sent = 0
        self.received = 0
        self._stream = stream

    async def send(self, item: bytes) -> None:
        self.sent += len(item)
        await self._stream.send(item)

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        data = await self._stream.receive(max_bytes)
        self.received += len(data)
        return data

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def lined(
    *, server: str | None = None, client: str | None = None, limits: Limits = Limits()
) -> AsyncIterator[tuple[Channel, Line]]:
    """A channel and a server that compress so, and the line between them."""
    async with open_background() as connections:
        ours, theirs = memory_stream_pair(100)
        line = Line(ours)
        connections.start_soon(Server([ECHO], codec=CODEC, compression=server, limits=limits).serve_connection, theirs)

        async def dial() -> ByteStream:
            return line

        async with open_channel_over(dial, "memory", codec=CODEC, compression=client) as channel:
            yield channel, line


@pytest.mark.parametrize("server", [None, "identity", "gzip"])
@pytest.mark.parametrize("client", [None, "identity", "gzip"])
@on_both_loops
async def test_each_side_compresses_what_it_is_configured_to(client: str | None, server: str | None) -> None:
    async with lined(client=client, server=server) as (channel, line):
        assert await unary(channel, "One", SAME) == SAME
        assert (line.sent < FEW) is (client == "gzip")
        assert (line.received < FEW) is (server == "gzip")


@on_both_loops
async def test_messages_of_every_size_arrive() -> None:
    sizes = [0, 1, MIN_COMPRESSED - 1, MIN_COMPRESSED, 10_000, 5, 1_000_000]
    async with lined(client="gzip", server="gzip") as (channel, _), call(channel, "All", BIDI) as stream:
        for size in sizes:
            await stream.send_message(SAME[:size])
            assert await stream.recv_message() == SAME[:size]
            await stream.send_message(NOISE[:size])
            assert await stream.recv_message() == NOISE[:size]
        await stream.end()
        assert await stream.recv_message() is None


async def test_a_call_s_own_compression_overrides_the_channel_s() -> None:
    async with lined() as (channel, line):
        await unary(channel, "One", SAME, compression="gzip")
        assert line.sent < FEW
    async with lined(client="gzip") as (channel, line):
        await unary(channel, "One", SAME, compression="identity")
        assert line.sent > len(SAME)


async def test_incompressible_messages_are_not_made_longer() -> None:
    async def cost(compression: str | None) -> int:
        async with lined(client=compression) as (channel, line):
            await unary(channel, "One", NOISE)
            return line.sent

    plain = await cost(None)
    assert await cost("gzip") <= plain + 100  # The head's grpc-encoding.


async def test_a_client_without_gzip_gets_nothing_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_ACCEPT_ENCODING", (b"grpc-accept-encoding", b"identity"))
    monkeypatch.setattr("echo.wire.client.shared_fields", head.shared_fields.__wrapped__)
    async with lined(server="gzip") as (channel, line):
        assert await unary(channel, "One", SAME) == SAME
        assert line.received > len(SAME)


async def test_the_message_limit_applies_to_the_uncompressed_size() -> None:
    async with lined(client="gzip", limits=Limits(max_message_size=len(SAME) - 1)) as (channel, line):
        with pytest.raises(GRPCError, match="decompressed message exceeds the limit") as raised:
            await unary(channel, "One", SAME)
        assert raised.value.status is Status.RESOURCE_EXHAUSTED
        assert line.sent < FEW


async def test_unknown_encodings_are_refused() -> None:
    with pytest.raises(ValueError, match="'zstd' is not one of identity, gzip"):
        Server([ECHO], compression="zstd")
    async with memory_channel([ECHO], codec=CODEC) as channel:
        with pytest.raises(ValueError, match="'zstd' is not one of identity, gzip"):
            call(channel, "One", BIDI, compression="zstd")


async def echo_in_kind(stream: BytesStream) -> None:
    """Sends each message back as it came: compressed or not."""
    stream.compress("gzip")
    async for message in stream:
        stream.compress_next(wanted=stream.received_compressed)
        await stream.send_message(message)


@pytest.mark.parametrize("server", [None, "gzip"])
async def test_a_handler_sees_and_chooses_compression_per_message(server: str | None) -> None:
    messages = [SAME[:1_000], b"a", SAME[:1_000], b""]  # Of each size what `compress` alone would do otherwise.
    head = request("/test.Service/InKind", grpc_encoding="gzip", grpc_accept_encoding="identity,gzip")
    sent = b"".join(
        encode_compressed("gzip", message, always=True) if index % 2 else encode_message(message)
        for index, message in enumerate(messages)
    )
    server_ = Server([Service(InKind=(BIDI, echo_in_kind))], codec=CODEC, compression=server)
    async with serving(server_) as port, raw_client(port) as client:
        await client.send(client.head(1, head), data(1, sent, end=True))
        heard = await client.heard(1)
    assert heard.fields["grpc-encoding"] == "gzip"
    decoder = MessageDecoder(len(SAME), "gzip")
    decoder.feed(heard.data)
    for index, message in enumerate(messages):
        assert decoder.next_message() == message
        assert (decoder.inflated == decoder.messages) is (index % 2 == 1)


async def test_a_client_without_gzip_gets_nothing_compressed_by_a_handler_either() -> None:
    head = request("/test.Service/InKind", grpc_encoding="gzip")
    server = Server([Service(InKind=(BIDI, echo_in_kind))], codec=CODEC)
    async with serving(server) as port, raw_client(port) as client:
        await client.send(client.head(1, head), data(1, encode_compressed("gzip", b"a", always=True), end=True))
        heard = await client.heard(1)
    assert "grpc-encoding" not in heard.fields
    assert heard.data == encode_message(b"a")
