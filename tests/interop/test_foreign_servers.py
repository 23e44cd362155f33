"""Our client calls every rpc of third-party servers, grpc-js and Ruby's; what is specific to each is elsewhere."""

import pytest
import trio

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import Cardinality, GRPCError, Status, open_channel
from tests.support.foreign import (
    BIDI,
    CLIENT_STREAM,
    EACH_MAKE,
    ECHO_PATHS,
    MEGABYTE,
    METADATA,
    SERVER_STREAM,
    STATUS_TEXT,
    TEXTS,
    UNARY,
    Make,
    channel_to,
    converse,
    request,
)
from tests.support.recording import REPLIES, STATUS, STATUS_DETAILS, STATUS_MESSAGE
from tests.support.serving import LOOPBACK
from tests.support.tls import Certificates


@EACH_MAKE
async def test_our_client_gets_every_reply_of_a_foreign_server(make: Make) -> None:
    async with make.server() as server, channel_to(server.port) as channel:
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


@EACH_MAKE
async def test_our_client_is_told_what_a_foreign_server_refuses(make: Make) -> None:
    async with make.server() as server, channel_to(server.port) as channel:
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


@EACH_MAKE
async def test_our_client_exchanges_metadata_and_trailers_with_a_foreign_server(make: Make) -> None:
    async with make.server() as server, channel_to(server.port) as channel:
        for kind in Cardinality:
            _, stream = await converse(channel, kind, metadata=METADATA)
            seen = await server.calls.next()
            assert {key: seen.metadata[key] for key in METADATA} == METADATA
            assert stream.initial_metadata is not None
            assert stream.trailing_metadata is not None
            received = {**stream.initial_metadata, **stream.trailing_metadata}
            assert {key: received[key] for key in METADATA} == METADATA
            assert not [key for key in stream.initial_metadata if key.startswith("trailing-")]


@EACH_MAKE
async def test_our_client_gets_a_foreign_server_s_status(make: Make) -> None:
    asked: dict[str, str | bytes] = {
        STATUS: str(Status.FAILED_PRECONDITION.value),
        STATUS_MESSAGE: STATUS_TEXT.encode(),
        STATUS_DETAILS: b"\x08\x09\x12\x02no",
    }
    async with make.server() as server, channel_to(server.port) as channel:
        for kind in Cardinality:
            with pytest.raises(GRPCError) as raised:
                await converse(channel, kind, metadata=asked)
            assert (raised.value.status, raised.value.message) == (Status.FAILED_PRECONDITION, STATUS_TEXT)
            assert raised.value.details == b"\x08\x09\x12\x02no"


@EACH_MAKE
async def test_our_client_exchanges_a_megabyte_with_a_foreign_server(make: Make) -> None:
    async with make.server() as server, channel_to(server.port) as channel:
        for kind in Cardinality:
            texts, _ = await converse(channel, kind, MEGABYTE, {REPLIES: "1"})
            assert len(texts) == 1
            assert (MEGABYTE in texts[0]) == (kind is not CLIENT_STREAM)


@EACH_MAKE
async def test_thousands_of_messages_to_and_from_a_foreign_server_stay_in_order(make: Make) -> None:
    total = 5_000
    numbers: list[int] = []
    async with make.server() as server, channel_to(server.port) as channel:
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


@EACH_MAKE
async def test_a_foreign_server_that_drains_lets_our_call_finish(make: Make) -> None:
    async with make.server() as server, channel_to(server.port) as channel:
        async with request(channel, BIDI) as stream:
            await stream.send_message(StreamMessage(stream_id="a", message="one"))
            assert await stream.recv_message() is not None
            await server.drain()
            with trio.fail_after(60):
                late = Status.OK
                while late is Status.OK:  # Until the server has said so.
                    try:
                        await converse(channel, UNARY, "too late?")
                    except GRPCError as error:
                        late = error.status
            assert late in make.late
            await stream.send_message(StreamMessage(stream_id="a", message="last"), end=True)
            assert [reply.response async for reply in stream] == ["from server: last"]
        with trio.fail_after(60):
            await server.drained.wait()


@EACH_MAKE
async def test_our_client_calls_a_foreign_server_over_tls(make: Make, certificates: Certificates) -> None:
    async with make.server(*certificates.server, certificates.ca) as server:
        async with open_channel(LOOPBACK, server.port, tls=certificates.calling(certificates.client)) as channel:
            for kind in Cardinality:
                texts, _ = await converse(channel, kind, MEGABYTE, {REPLIES: "1"})
                assert len(texts) == 1
            assert channel.connections == 1
        async with open_channel(LOOPBACK, server.port, tls=certificates.calling()) as channel:
            with pytest.raises(GRPCError) as raised:
                await converse(channel, UNARY)
            assert raised.value.status is Status.UNAVAILABLE
