"""Our client drives every rpc of a server of @grpc/grpc-js: gRPC of a third make."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Status, open_channel
from tests.support.grpc_js import begun, grpc_js_server, needs_node
from tests.support.leaks import no_leaks
from tests.support.recording import (
    REPLIES,
    SLEEPING,
    STATUS,
    STATUS_DETAILS,
    STATUS_MESSAGE,
    WAIT,
)
from tests.support.serving import LOOPBACK
from tests.support.tls import Certificates

pytestmark = needs_node

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


@asynccontextmanager
async def channel_to(port: int) -> AsyncIterator[Channel]:
    """Our client; it runs while the block does, and leaves nothing."""
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
    """Make a call of this type with one message; gives the texts answered, and the call, which has ended."""
    stream: Call
    if kind is UNARY:
        unary = channel.request(GET_REPLY, UNARY, Message, Response, metadata=metadata, timeout=timeout)
        async with unary as stream:
            await stream.send_message(Message(text), end=True)
            return [reply.response async for reply in stream], stream
    async with request(channel, kind, metadata, timeout=timeout) as stream:
        await stream.send_message(StreamMessage(stream_id="a", message=text), end=True)
        return [reply.response async for reply in stream], stream


async def test_our_client_gets_every_reply_of_a_grpc_js_server() -> None:
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        for text in TEXTS:
            assert (await converse(channel, UNARY, text))[0] == [f"from server:{text}"]
        for count in (0, 1, 3):
            async with request(channel, CLIENT_STREAM) as stream:
                await stream.send_request()
                for number in range(count):
                    await stream.send_message(StreamMessage(stream_id=f"s{number}"))
                await stream.end()
                reply = await stream.recv_message()
            assert reply is not None
            assert reply.response == f"from server: received {count} messages"
            assert (reply.stream_id, reply.sequence_number) == ("s0" if count else "", count)
        texts, _ = await converse(channel, SERVER_STREAM)
        assert texts == [f"from server: hi (echo {number}/5)" for number in range(1, 6)]
        async with request(channel, BIDI) as stream:
            for number, text in enumerate(TEXTS, 1):
                await stream.send_message(StreamMessage(stream_id="a", message=text))
                reply = await stream.recv_message()
                assert reply is not None
                assert (reply.response, reply.sequence_number) == (f"from server: {text}", number)
            await stream.end()
            assert await stream.recv_message() is None
        assert channel.connections == 1


async def test_our_client_is_told_what_a_grpc_js_server_refuses() -> None:
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        for kind in ECHO_PATHS:
            with pytest.raises(GRPCError) as raised:
                async with request(channel, kind) as stream:
                    await stream.send_message(StreamMessage(message="nameless"), end=True)
                    await stream.recv_message()
            assert (raised.value.status, raised.value.message) == (Status.INVALID_ARGUMENT, "stream_id is required")
        with pytest.raises(GRPCError) as raised:
            async with channel.request("/no.such.Service/M", UNARY, Message, Response) as nowhere:
                await nowhere.send_message(Message())
                await nowhere.recv_message()
        assert raised.value.status is Status.UNIMPLEMENTED


async def test_our_client_exchanges_metadata_and_trailers_with_a_grpc_js_server() -> None:
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        for kind in Cardinality:
            _, stream = await converse(channel, kind, metadata=METADATA)
            seen = await server.calls.next()
            assert {key: seen.metadata[key] for key in METADATA} == METADATA
            assert stream.initial_metadata is not None
            assert stream.trailing_metadata is not None
            received = {**stream.initial_metadata, **stream.trailing_metadata}
            assert {key: received[key] for key in METADATA} == METADATA
            assert not [key for key in stream.initial_metadata if key.startswith("trailing-")]


async def test_our_client_gets_a_grpc_js_server_s_status() -> None:
    asked: dict[str, str | bytes] = {
        STATUS: str(Status.FAILED_PRECONDITION.value),
        STATUS_MESSAGE: STATUS_TEXT.encode(),
        STATUS_DETAILS: b"\x08\x09\x12\x02no",
    }
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        for kind in Cardinality:
            with pytest.raises(GRPCError) as raised:
                await converse(channel, kind, metadata=asked)
            assert (raised.value.status, raised.value.message) == (Status.FAILED_PRECONDITION, STATUS_TEXT)
            assert raised.value.details == b"\x08\x09\x12\x02no"


@KINDS
async def test_a_deadline_of_our_client_s_is_known_to_a_grpc_js_server(kind: Cardinality) -> None:
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        with pytest.raises(GRPCError) as raised:
            await converse(channel, kind, metadata={WAIT: SLEEPING}, timeout=0.5)
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        seen = await server.calls.next()
        assert 0 < seen.time_remaining <= 0.5
        with trio.fail_after(10):
            await seen.ended.wait()
        assert seen.cancelled.is_set()


@pytest.mark.parametrize("kind", list(ECHO_PATHS), ids=lambda kind: kind.name.lower())
async def test_a_grpc_js_server_sees_that_our_client_cancels(kind: Cardinality) -> None:
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        async with request(channel, kind, {WAIT: SLEEPING}) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            seen = await begun(server)
        with trio.fail_after(10):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
        assert (await converse(channel, UNARY))[0] == ["from server:hi"]
        assert channel.connections == 1


async def test_our_client_exchanges_a_megabyte_with_a_grpc_js_server() -> None:
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        for kind in Cardinality:
            texts, _ = await converse(channel, kind, MEGABYTE, {REPLIES: "1"})
            assert len(texts) == 1
            assert (MEGABYTE in texts[0]) == (kind is not CLIENT_STREAM)


async def test_two_hundred_calls_of_our_client_succeed_on_one_connection() -> None:
    replies: dict[int, list[str]] = {}
    async with grpc_js_server() as server, channel_to(server.port) as channel:

        async def call(number: int) -> None:
            replies[number] = (await converse(channel, UNARY, f"call {number}"))[0]

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(call, number)
        assert replies == {number: [f"from server:call {number}"] for number in range(200)}
        assert channel.connections == 1


async def test_ten_thousand_messages_to_and_from_a_grpc_js_server_stay_in_order() -> None:
    total = 10_000
    numbers: list[int] = []
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        async with request(channel, BIDI) as stream, trio.open_nursery() as nursery:
            await stream.send_request()

            async def collect() -> None:
                numbers.extend([reply.sequence_number async for reply in stream])

            nursery.start_soon(collect)
            for number in range(1, total + 1):
                await stream.send_message(StreamMessage(stream_id="a", sequence_number=number, message="m"))
            await stream.end()
        assert numbers == list(range(1, total + 1))
        async with request(channel, SERVER_STREAM, {REPLIES: str(total)}) as stream:
            await stream.send_message(StreamMessage(stream_id="a", message="m"))
            assert [reply.sequence_number async for reply in stream] == list(range(1, total + 1))


async def test_a_grpc_js_server_that_drains_lets_our_call_finish() -> None:
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        async with request(channel, BIDI) as stream:
            await stream.send_message(StreamMessage(stream_id="a", message="one"))
            assert await stream.recv_message() is not None
            await server.drain()
            with trio.fail_after(10):
                late = Status.OK
                while late is Status.OK:  # Until the server has said so.
                    try:
                        await converse(channel, UNARY, "too late?")
                    except GRPCError as error:
                        late = error.status
            assert late is Status.UNAVAILABLE
            await stream.send_message(StreamMessage(stream_id="a", message="last"), end=True)
            assert [reply.response async for reply in stream] == ["from server: last"]
        with trio.fail_after(10):
            await server.drained.wait()


async def test_our_client_calls_a_grpc_js_server_over_tls(certificates: Certificates) -> None:
    async with grpc_js_server(*certificates.server, certificates.ca) as server:
        async with open_channel(LOOPBACK, server.port, tls=certificates.calling(certificates.client)) as channel:
            for kind in Cardinality:
                texts, _ = await converse(channel, kind, MEGABYTE, {REPLIES: "1"})
                assert len(texts) == 1
            assert channel.connections == 1
        async with open_channel(LOOPBACK, server.port, tls=certificates.calling()) as channel:
            with pytest.raises(GRPCError) as raised:
                await converse(channel, UNARY)
            assert raised.value.status is Status.UNAVAILABLE


def test_the_lock_file_leaves_open_where_the_packages_come_from() -> None:
    lock = Path(__file__).with_name("node") / "package-lock.json"
    assert '"resolved"' not in lock.read_text()
