"""Our client calls every rpc of a stock grpcio server, over real TCP: betterproto's stubs and streams of our own."""

import pytest

from echo.pb.com.gopay.echo import Message, Response, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamingServerStub, StreamMessage
from echo.rpc import Cardinality, GRPCError, Status
from tests.interop.to_grpcio import (
    BIDI,
    CLIENT_STREAM,
    KINDS,
    PATHS,
    SERVER_STREAM,
    UNARY,
    Metadata,
    as_stubs_want_it,
    channel_to,
    converse,
    failure,
    request,
)
from tests.support.grpcio import grpcio_server
from tests.support.recording import STATUS, STATUS_DETAILS, STATUS_MESSAGE

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


async def test_what_the_server_refuses_is_reported() -> None:
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
