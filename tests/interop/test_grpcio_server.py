"""Our client drives every rpc of a stock grpcio server, over real TCP: betterproto's stubs and streams of our own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import grpclib.client
import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo import Message, Response, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamingServerStub, StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Status, open_channel
from tests.support.grpcio import GrpcioServer, grpcio_server, in_thread
from tests.support.leaks import no_leaks, settles
from tests.support.recording import DEADLINE, REPLIES, SLEEPING, STATUS, STATUS_DETAILS, STATUS_MESSAGE, WAIT, Seen
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
LIMIT = 4 * 2**20  # Of both sides, by default.
MEGABYTE = "é" * 500_000

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
    """betterproto's stubs name grpclib's channel, and use nothing of it that ours has not."""
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


async def waiting(server: GrpcioServer) -> Seen:
    """The next call, once its handler waits."""
    seen = await server.calls.next()
    with trio.fail_after(10):
        await seen.waiting.wait()
    return seen


# Values


@pytest.mark.parametrize("text", ["hello", "", "Grüße, 世界 🌍", "a\0b\n"])
async def test_the_unary_stub_gets_its_reply(text: str) -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        reply = await ServerStub(as_stubs_want_it(channel)).get_reply(Message(text))
        assert reply == Response(success=True, response=f"from server:{text}")


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_client_stream_is_answered_at_half_close(count: int) -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        async with request(channel, CLIENT_STREAM) as stream:
            await stream.send_request()
            for number in range(count):
                await stream.send_message(StreamMessage(stream_id=f"s{number}"))
            await stream.end()
            reply = await stream.recv_message()
        assert reply is not None
        assert reply.response == f"from server: received {count} messages"
        assert (reply.stream_id, reply.sequence_number, reply.success) == ("s0" if count else "", count, True)


async def test_server_stream_gives_every_reply_and_ends() -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        texts, _ = await converse(channel, SERVER_STREAM, "hi")
        assert texts == [f"from server: hi (echo {number}/5)" for number in range(1, 6)]


async def test_bidirectional_stream_is_a_conversation() -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel, request(channel, BIDI) as stream:
        for number, text in enumerate(["one", "two", "drei"], 1):
            await stream.send_message(StreamMessage(stream_id="a", message=text))
            reply = await stream.recv_message()
            assert reply is not None
            assert (reply.stream_id, reply.sequence_number, reply.success) == ("a", number, True)
            assert reply.response == f"from server: {text}"
        await stream.end()
        assert await stream.recv_message() is None


async def test_what_the_server_refuses_is_told() -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        for kind in PATHS:
            with pytest.raises(GRPCError) as raised:
                async with request(channel, kind) as stream:
                    await stream.send_message(StreamMessage(message="nameless"), end=True)
                    await stream.recv_message()
            assert (raised.value.status, raised.value.message) == (Status.INVALID_ARGUMENT, "stream_id is required")


async def test_stubs_of_streaming_methods_work_where_betterproto_s_can() -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        stub = StreamingServerStub(as_stubs_want_it(channel))
        summary = await stub.client_stream([StreamMessage(stream_id="a"), StreamMessage(stream_id="b")])
        assert (summary.stream_id, summary.sequence_number) == ("a", 2)
        replies = [reply async for reply in stub.server_stream(StreamMessage(stream_id="a", message="hi"))]
        assert [reply.sequence_number for reply in replies] == [1, 2, 3, 4, 5]


# Metadata and status


@KINDS
async def test_metadata_and_trailers_go_both_ways(kind: Cardinality) -> None:
    metadata: Metadata = {
        "initial-text": "some text",
        "initial-octets-bin": b"\x00\xff,;\n",
        "trailing-text": "~ more ~",
        "trailing-octets-bin": bytes(range(256)),
        "trailing-empty-bin": b"",
    }
    async with grpcio_server() as server, channel_to(server.port) as channel:
        _, stream = await converse(channel, kind, "hi", metadata)
        seen = await server.calls.next()
        assert {key: seen.metadata[key] for key in metadata} == metadata
        assert seen.metadata["user-agent"]
        assert stream.initial_metadata is not None
        assert stream.trailing_metadata is not None
        received = {**stream.initial_metadata, **stream.trailing_metadata}
        assert {key: received[key] for key in metadata} == metadata
        assert not [key for key in stream.initial_metadata if key.startswith("trailing-")]


async def test_a_repeated_key_keeps_its_values_and_their_order() -> None:
    pairs: list[tuple[str, str | bytes]] = [
        ("trailing-a", "1"),
        ("trailing-a", "2"),
        ("trailing-a-bin", b"3"),
        ("trailing-a-bin", b"4"),
    ]
    async with grpcio_server() as server, channel_to(server.port) as channel:
        async with channel.request(
            "/com.gopay.echo.Server/GetReply", UNARY, Message, Response, metadata=pairs
        ) as stream:
            await stream.send_message(Message("hi"))
            await stream.recv_message()
        assert stream.trailing_metadata is not None
        assert list(stream.trailing_metadata.items()) == pairs


@KINDS
async def test_a_status_arrives_with_its_message_and_details(kind: Cardinality) -> None:
    message = "nö, 不行 100% 🙅\n"
    async with grpcio_server() as server, channel_to(server.port) as channel:
        error = await failure(
            channel,
            kind,
            metadata={
                STATUS: str(Status.FAILED_PRECONDITION.value),
                STATUS_MESSAGE: message.encode(),
                STATUS_DETAILS: b"\x08\x09\x12\x02no",
            },
        )
        assert (error.status, error.message) == (Status.FAILED_PRECONDITION, message)
        assert error.details == b"\x08\x09\x12\x02no"


async def test_every_status_code_arrives() -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        for status in Status:
            if status is not Status.OK:
                metadata: Metadata = {STATUS: str(status.value), STATUS_MESSAGE: b"so", STATUS_DETAILS: b""}
                assert (await failure(channel, UNARY, metadata=metadata)).status is status


@pytest.mark.parametrize("path", ["/com.gopay.echo.Server/Nothing", "/no.such.Service/GetReply"])
async def test_unknown_methods_and_services_are_unimplemented(path: str) -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        with pytest.raises(GRPCError) as raised:
            async with channel.request(path, UNARY, Message, Response) as stream:
                await stream.send_message(Message("hi"))
                await stream.recv_message()
        assert raised.value.status is Status.UNIMPLEMENTED


# Deadline and cancellation


async def test_a_deadline_is_known_to_the_server_and_ends_the_call() -> None:
    ended: dict[Cardinality, Status] = {}
    async with grpcio_server() as server, channel_to(server.port) as channel:

        async def call(kind: Cardinality) -> None:
            ended[kind] = (await failure(channel, kind, metadata={WAIT: SLEEPING}, timeout=DEADLINE)).status

        await converse(channel, UNARY, "hi")  # So that there is a connection.
        await server.calls.next()
        async with trio.open_nursery() as nursery:
            for kind in Cardinality:
                nursery.start_soon(call, kind)
            for _ in Cardinality:
                await (await server.calls.next()).is_cancelled_in(DEADLINE)
        assert ended == dict.fromkeys(Cardinality, Status.DEADLINE_EXCEEDED)
        assert channel.calls == 0


@pytest.mark.parametrize("how", ["cancelled", "left", "scope cancelled"])
@pytest.mark.parametrize("kind", list(PATHS), ids=lambda kind: kind.name.lower())
async def test_cancelling_is_seen_by_the_server(kind: Cardinality, how: str) -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        with trio.CancelScope() as scope:
            async with request(channel, kind, {WAIT: SLEEPING}) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                seen = await waiting(server)
                assert not seen.ended.is_set()
                if how == "cancelled":
                    await stream.cancel()
                    with pytest.raises(GRPCError) as raised:
                        await stream.recv_message()
                    assert raised.value.status is Status.CANCELLED
                elif how == "scope cancelled":
                    scope.cancel()
                    await stream.recv_message()
        with trio.fail_after(10):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
        assert (await converse(channel, UNARY, "again"))[0] == ["from server:again"]


@KINDS
async def test_closing_the_channel_is_seen_by_the_server_and_the_caller(kind: Cardinality) -> None:
    outcomes: list[Status] = []

    async def call(channel: Channel) -> None:
        outcomes.append((await failure(channel, kind, metadata={WAIT: SLEEPING})).status)

    async with grpcio_server() as server, trio.open_nursery() as nursery:
        async with channel_to(server.port) as channel:
            nursery.start_soon(call, channel)
            seen = await waiting(server)
        with trio.fail_after(10):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
    assert outcomes == [Status.UNAVAILABLE]


@KINDS
async def test_a_caller_that_is_cancelled_is_seen_by_the_server(kind: Cardinality) -> None:
    metadata: Metadata = {WAIT: SLEEPING}
    async with grpcio_server() as server, channel_to(server.port) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(converse, channel, kind, "hi", metadata)
            seen = await waiting(server)
            nursery.cancel_scope.cancel()
        with trio.fail_after(10):
            await seen.ended.wait()
        assert seen.cancelled.is_set()


# Volume


@KINDS
async def test_a_megabyte_goes_each_way(kind: Cardinality) -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        texts, _ = await converse(channel, kind, MEGABYTE, {REPLIES: "1"})
        assert (MEGABYTE in texts[0]) == (kind is not CLIENT_STREAM)
        assert len(texts) == 1


@KINDS
async def test_a_message_above_the_server_s_limit_is_refused_and_the_connection_lives_on(kind: Cardinality) -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        assert (await failure(channel, kind, "x" * LIMIT)).status is Status.RESOURCE_EXHAUSTED
        assert (await converse(channel, CLIENT_STREAM, "hi"))[0] == ["from server: received 1 messages"]
        assert channel.connections == 1


async def test_a_reply_above_our_limit_is_refused_and_the_connection_lives_on() -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        text = "x" * (LIMIT - 10)  # Fits, but the answer adds to it.
        assert (await failure(channel, UNARY, text)).status is Status.RESOURCE_EXHAUSTED
        assert (await converse(channel, UNARY, "hi"))[0] == ["from server:hi"]
        assert channel.connections == 1


async def test_a_thousand_calls_at_once_succeed_on_one_channel() -> None:
    replies: dict[int, str] = {}

    async with grpcio_server() as server, channel_to(server.port) as channel:

        async def call(number: int) -> None:
            replies[number] = (
                await ServerStub(as_stubs_want_it(channel)).get_reply(Message(f"call {number}"))
            ).response

        server.gate.clear()
        async with trio.open_nursery() as nursery:
            for number in range(1_000):
                nursery.start_soon(call, number)
            await settles(lambda: channel.calls, 1_000, "calls at once")
            server.gate.set()
        assert replies == {number: f"from server:call {number}" for number in range(1_000)}
        assert channel.connections == 1


@pytest.mark.slow
async def test_a_hundred_thousand_messages_arrive_in_order() -> None:
    total = 100_000
    async with grpcio_server() as server, channel_to(server.port) as channel:
        async with request(channel, CLIENT_STREAM) as stream:
            for number in range(1, total + 1):
                await stream.send_message(StreamMessage(stream_id="a", sequence_number=number, message="m"))
            await stream.end()
            reply = await stream.recv_message()
        assert reply is not None
        assert reply.sequence_number == total  # The server fails the call at the first one out of order.


async def test_ten_thousand_replies_arrive_in_order() -> None:
    total = 10_000
    async with (
        grpcio_server() as server,
        channel_to(server.port) as channel,
        request(channel, SERVER_STREAM, {REPLIES: str(total)}) as stream,
    ):
        await stream.send_message(StreamMessage(stream_id="a", message="m"))
        assert [reply.sequence_number async for reply in stream] == list(range(1, total + 1))


# Servers that come and go


@KINDS
async def test_a_server_that_stops_ends_the_call_and_is_found_again_on_the_same_port(kind: Cardinality) -> None:
    async with grpcio_server() as server:
        port = server.port
        async with channel_to(port) as channel:
            outcomes: list[Status] = []

            async def call() -> None:
                outcomes.append((await failure(channel, kind, metadata={WAIT: SLEEPING})).status)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                seen = await waiting(server)
                await in_thread(server.stop)
            assert outcomes in ([Status.UNAVAILABLE], [Status.CANCELLED])
            assert channel.calls == 0
            with trio.fail_after(10):
                await seen.ended.wait()
            await settles(lambda: channel.connections, 0, "connections of the channel")
            error = await failure(channel, kind)
            assert error.status is Status.UNAVAILABLE
            async with grpcio_server(port) as again:
                assert again.port == port
                with trio.fail_after(10):  # The channel lets a moment pass between attempts to connect.
                    while (await outcome_of(channel)) is Status.UNAVAILABLE:
                        await trio.testing.wait_all_tasks_blocked(0.01)
                assert (await converse(channel, UNARY, "there you are"))[0] == ["from server:there you are"]


async def outcome_of(channel: Channel) -> Status:
    try:
        await converse(channel, UNARY, "are you there?")
    except GRPCError as error:
        return error.status
    return Status.OK


async def test_a_server_that_stops_with_grace_lets_the_call_finish() -> None:
    async with (
        grpcio_server() as server,
        channel_to(server.port) as channel,
        trio.open_nursery() as nursery,
        request(channel, BIDI) as stream,
    ):
        await stream.send_message(StreamMessage(stream_id="a", message="one"))
        assert await stream.recv_message() is not None
        nursery.start_soon(partial(in_thread, server.stop, 20.0))
        late = Status.OK
        while late is Status.OK:  # Until the server has said so.
            try:
                with trio.move_on_after(2) as patience:
                    await converse(channel, UNARY, "too late?")
            except GRPCError as error:
                late = error.status
            if patience.cancelled_caught:
                # Now and then grpcio accepts a connection in the moment it closes its port, and never speaks on it.
                late = Status.UNAVAILABLE
        assert late in (Status.UNAVAILABLE, Status.CANCELLED)  # The latter while it is about to say so.
        await stream.send_message(StreamMessage(stream_id="a", message="last"), end=True)
        assert [reply.response async for reply in stream] == ["from server: last"]
