"""Ruby's gRPC drives every rpc of our server, and our client every rpc of a server of Ruby's, in plain text and TLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Server, Status, open_channel
from echo.services import echo_services
from tests.support.leaks import no_leaks, settles
from tests.support.recording import (
    PATHS,
    REPLIES,
    SENDING,
    SLEEPING,
    STATUS,
    STATUS_DETAILS,
    STATUS_MESSAGE,
    WAIT,
    Recorder,
)
from tests.support.ruby import needs_ruby, ruby_client, ruby_server
from tests.support.serving import LOOPBACK, serving
from tests.support.tls import Certificates, serving_tls

pytestmark = needs_ruby

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
ASKED: dict[str, str | bytes] = {
    STATUS: str(Status.FAILED_PRECONDITION.value),
    STATUS_MESSAGE: STATUS_TEXT.encode(),
    STATUS_DETAILS: b"\x08\x09\x12\x02no",
}

NO_HEAD = -1  # What Ruby has for the status of a server's stream that ended before its head came: an error of its own.

KINDS = pytest.mark.parametrize("kind", list(Cardinality), ids=lambda kind: kind.name.lower())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Ours:
    """Our server with everything it can serve.

    Attributes:
        server: The server.
        recorder: What its test methods saw.
        port: Where it listens.
    """

    port: int

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.server = Server([*echo_services().services, self.recorder])


@asynccontextmanager
async def our_server() -> AsyncIterator[Ours]:
    """It runs while the block does, and leaves nothing."""
    ours = Ours()
    async with no_leaks() as leaks, serving(ours.server) as ours.port:
        leaks.watch(ours.server)
        yield ours


# Our server, a client of Ruby's


async def test_a_ruby_client_gets_every_reply() -> None:
    async with our_server() as ours, ruby_client(ours.port) as client:
        for text in TEXTS:
            outcome = await client.call(GET_REPLY, UNARY, [{"message": text}])
            assert (outcome.code, outcome.replies) == (0, [{"success": True, "response": f"from server:{text}"}])
        for count in (0, 1, 3):
            messages = [{"stream_id": f"s{number}", "message": "hi"} for number in range(count)]
            outcome = await client.call(ECHO_PATHS[CLIENT_STREAM], CLIENT_STREAM, messages)
            (reply,) = outcome.replies
            assert reply["response"] == f"from server: received {count} messages"
            assert (reply["stream_id"], reply["sequence_number"]) == ("s0" if count else "", str(count))
        messages = [{"stream_id": "a", "message": text} for text in TEXTS]
        outcome = await client.call(ECHO_PATHS[BIDI], BIDI, messages, pingpong=True)
        assert outcome.texts == [f"from server: {text}" for text in TEXTS]
        assert outcome.numbers == [1, 2, 3, 4]
        assert ours.server.connections == 1


async def test_a_ruby_client_gets_a_server_stream(mock_clock: trio.testing.MockClock) -> None:
    mock_clock.rate = 10
    async with our_server() as ours, ruby_client(ours.port) as client:
        outcome = await client.call(ECHO_PATHS[SERVER_STREAM], SERVER_STREAM, [{"stream_id": "a", "message": "hi"}])
        assert outcome.code == 0
        assert outcome.texts == [f"from server: hi (echo {number}/5)" for number in range(1, 6)]
        mock_clock.rate = 0


async def test_a_ruby_client_is_told_what_is_refused() -> None:
    async with our_server() as ours, ruby_client(ours.port) as client:
        for kind, path in ECHO_PATHS.items():
            outcome = await client.call(path, kind, [{"message": "nameless"}])
            assert (outcome.code, outcome.details) == (Status.INVALID_ARGUMENT.value, "stream_id is required")
        for path in ("/com.gopay.echo.Server/Nothing", "/no.such.Service/GetReply"):
            assert (await client.call(path, UNARY)).code == Status.UNIMPLEMENTED.value


async def test_a_ruby_client_exchanges_metadata_and_trailers() -> None:
    pairs = [*METADATA.items(), ("trailing-text", "again"), ("trailing-octets-bin", b"again")]
    async with our_server() as ours, ruby_client(ours.port) as client:
        for kind in Cardinality:
            outcome = await client.call(PATHS[kind], kind, [{}], pairs)
            seen = await ours.recorder.calls.next()
            for key in METADATA:
                assert seen.metadata.getall(key) == [value for name, value in pairs if name == key]
            assert outcome.code == 0
            assert [pair for pair in outcome.initial if pair[0].startswith("initial")] == pairs[:2]
            assert outcome.trailing == [
                ("trailing-text", "~ more ~"),
                ("trailing-text", "again"),
                ("trailing-octets-bin", bytes(range(256))),
                ("trailing-octets-bin", b"again"),
            ]


async def test_a_ruby_client_gets_a_status_with_message_and_details() -> None:
    async with our_server() as ours, ruby_client(ours.port) as client:
        for kind in Cardinality:
            outcome = await client.record(kind, {**ASKED, "trailing-reason": "because"})
            assert (outcome.code, outcome.details) == (Status.FAILED_PRECONDITION.value, STATUS_TEXT)
            assert dict(outcome.trailing) == {
                "grpc-status-details-bin": ASKED[STATUS_DETAILS],
                "trailing-reason": "because",
            }


@KINDS
async def test_a_ruby_client_s_deadline_cancels_the_handler(kind: Cardinality) -> None:
    async with our_server() as ours, ruby_client(ours.port) as client:
        number = await client.start(PATHS[kind], kind, [{}], {WAIT: SLEEPING}.items(), timeout=1)
        seen = await ours.recorder.calls.next()
        assert 0 < seen.time_remaining < 1.1
        code = (await client.outcome(number)).code
        assert code == (NO_HEAD if kind is SERVER_STREAM else Status.DEADLINE_EXCEEDED.value)
        with trio.fail_after(30):
            await seen.ended.wait()
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"


@pytest.mark.parametrize(
    ("kind", "where"), [*((kind, SLEEPING) for kind in Cardinality), (SERVER_STREAM, SENDING), (BIDI, SENDING)]
)
async def test_a_ruby_client_that_cancels_is_seen_by_the_handler(kind: Cardinality, where: str) -> None:
    async with our_server() as ours, ruby_client(ours.port) as client:
        number = await client.start(PATHS[kind], kind, [{}], {WAIT: where}.items(), open=True)
        seen = await ours.recorder.calls.next()
        with trio.fail_after(30):
            await seen.waiting.wait()
            assert not seen.ended.is_set()
            await client.cancel(number)
            await seen.ended.wait()
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"
        code = (await client.outcome(number)).code
        assert code == (NO_HEAD if (kind, where) == (SERVER_STREAM, SLEEPING) else Status.CANCELLED.value)
        assert (await client.record(UNARY)).texts == ["hi"]
        assert ours.server.connections == 1


async def test_a_ruby_client_that_dies_is_seen_by_the_handler() -> None:
    async with our_server() as ours:
        async with ruby_client(ours.port) as client:
            await client.start(PATHS[BIDI], BIDI, [{}], {WAIT: SLEEPING}.items(), open=True)
            seen = await ours.recorder.calls.next()
        with trio.fail_after(30):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
        await settles(lambda: ours.server.connections, 0, "connections of the server")


async def test_a_ruby_client_exchanges_a_megabyte() -> None:
    async with our_server() as ours, ruby_client(ours.port) as client:
        for kind in Cardinality:
            assert set((await client.record(kind, message=MEGABYTE)).texts) == {MEGABYTE}


async def test_five_thousand_messages_go_each_way_in_order() -> None:
    async with our_server() as ours, ruby_client(ours.port) as client:
        numbers = list(range(1, 5_001))
        # The recorder fails the call at the first one out of order.
        assert (await client.call(PATHS[BIDI], BIDI, numbered=5_000)).numbers == numbers
        assert (await client.call(PATHS[CLIENT_STREAM], CLIENT_STREAM, numbered=5_000)).numbers == [5_000]
        assert (await client.record(SERVER_STREAM, {REPLIES: "5000"})).numbers == numbers


async def test_a_drain_lets_a_ruby_client_finish_what_runs() -> None:
    async with our_server() as ours, ruby_client(ours.port) as client, trio.open_nursery() as nursery:
        ours.recorder.gate = trio.Event()
        number = await client.start(PATHS[UNARY], UNARY, [{"message": "last orders"}])
        await ours.recorder.calls.next()
        nursery.start_soon(ours.server.drain, 60)
        await trio.testing.wait_all_tasks_blocked(0.01)
        ours.recorder.gate.set()
        assert (await client.outcome(number)).texts == ["last orders"]
        await settles(lambda: ours.server.connections, 0, "connections of the server")
        assert (await client.record(UNARY)).code == Status.UNAVAILABLE.value


async def test_a_ruby_client_calls_over_tls(certificates: Certificates) -> None:
    ours = Ours()
    context = certificates.serving(client_ca=certificates.ca)
    async with no_leaks() as leaks, serving_tls(ours.server, context) as port:
        leaks.watch(ours.server)
        async with ruby_client(port, certificates.ca, *certificates.client) as client:
            for kind in Cardinality:
                assert set((await client.record(kind, message=MEGABYTE)).texts) == {MEGABYTE}
            assert ours.server.connections == 1
        for files in ([certificates.ca], [certificates.strange_ca, *certificates.client]):
            async with ruby_client(port, *files) as client:
                assert (await client.record(UNARY)).code == Status.UNAVAILABLE.value


# Our client, a server of Ruby's


@asynccontextmanager
async def channel_to(port: int) -> AsyncIterator[Channel]:
    """Our client; it runs while the block does, and leaves nothing."""
    async with no_leaks() as leaks, open_channel(LOOPBACK, port) as channel:
        leaks.watch(channel)
        yield channel


Call = ClientStream[Message, Response] | ClientStream[StreamMessage, StreamResponse]


def request(
    channel: Channel, kind: Cardinality, metadata: dict[str, str | bytes] | None = None, *, timeout: float | None = None
) -> ClientStream[StreamMessage, StreamResponse]:
    """A call of a streaming method."""
    return channel.request(ECHO_PATHS[kind], kind, StreamMessage, StreamResponse, metadata=metadata, timeout=timeout)


async def converse(
    channel: Channel, kind: Cardinality, text: str = "hi", metadata: dict[str, str | bytes] | None = None
) -> tuple[list[str], Call]:
    """Make a call of this type with one message; gives the texts answered, and the call, which has ended."""
    stream: Call
    if kind is UNARY:
        async with channel.request(GET_REPLY, UNARY, Message, Response, metadata=metadata) as stream:
            await stream.send_message(Message(text), end=True)
            return [reply.response async for reply in stream], stream
    async with request(channel, kind, metadata) as stream:
        await stream.send_message(StreamMessage(stream_id="a", message=text), end=True)
        return [reply.response async for reply in stream], stream


async def test_our_client_gets_every_reply_of_a_ruby_server() -> None:
    async with ruby_server() as server, channel_to(server.port) as channel:
        for text in TEXTS:
            assert (await converse(channel, UNARY, text))[0] == [f"from server:{text}"]
        assert (await converse(channel, CLIENT_STREAM))[0] == ["from server: received 1 messages"]
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


async def test_our_client_is_told_what_a_ruby_server_refuses() -> None:
    async with ruby_server() as server, channel_to(server.port) as channel:
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


async def test_our_client_exchanges_metadata_and_trailers_with_a_ruby_server() -> None:
    async with ruby_server() as server, channel_to(server.port) as channel:
        for kind in Cardinality:
            _, stream = await converse(channel, kind, metadata=METADATA)
            seen = await server.calls.next()
            assert {key: seen.metadata[key] for key in METADATA} == METADATA
            assert stream.initial_metadata is not None
            assert stream.trailing_metadata is not None
            received = {**stream.initial_metadata, **stream.trailing_metadata}
            assert {key: received[key] for key in METADATA} == METADATA
            assert not [key for key in stream.initial_metadata if key.startswith("trailing-")]


async def test_our_client_gets_a_ruby_server_s_status() -> None:
    async with ruby_server() as server, channel_to(server.port) as channel:
        for kind in Cardinality:
            with pytest.raises(GRPCError) as raised:
                await converse(channel, kind, metadata=ASKED)
            assert (raised.value.status, raised.value.message) == (Status.FAILED_PRECONDITION, STATUS_TEXT)
            assert raised.value.details == ASKED[STATUS_DETAILS]


@pytest.mark.parametrize("kind", [CLIENT_STREAM, BIDI], ids=lambda kind: kind.name.lower())
async def test_a_deadline_of_our_client_s_is_known_to_a_ruby_server(kind: Cardinality) -> None:
    async with ruby_server() as server, channel_to(server.port) as channel:
        with pytest.raises(GRPCError) as raised:
            async with request(channel, kind, {WAIT: SLEEPING}, timeout=1) as stream:
                await stream.send_request()
                await stream.recv_message()
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        seen = await server.calls.next()
        assert 0 < seen.time_remaining < 1.1
        with trio.fail_after(30):
            await seen.ended.wait()


@pytest.mark.parametrize("kind", [CLIENT_STREAM, BIDI], ids=lambda kind: kind.name.lower())
async def test_a_ruby_server_sees_that_our_client_cancels(kind: Cardinality) -> None:
    async with ruby_server() as server, channel_to(server.port) as channel:
        async with request(channel, kind, {WAIT: SLEEPING}) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            seen = await server.calls.next()
            with trio.fail_after(30):
                await seen.waiting.wait()
            assert not seen.ended.is_set()
        with trio.fail_after(30):
            await seen.ended.wait()
        assert (await converse(channel, UNARY))[0] == ["from server:hi"]
        assert channel.connections == 1


async def test_our_client_exchanges_a_megabyte_with_a_ruby_server() -> None:
    async with ruby_server() as server, channel_to(server.port) as channel:
        for kind in Cardinality:
            texts, _ = await converse(channel, kind, MEGABYTE, {REPLIES: "1"})
            assert len(texts) == 1
            assert (MEGABYTE in texts[0]) == (kind is not CLIENT_STREAM)


async def test_five_thousand_messages_to_and_from_a_ruby_server_stay_in_order() -> None:
    total = 5_000
    numbers: list[int] = []
    async with ruby_server() as server, channel_to(server.port) as channel:
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


async def test_a_ruby_server_that_drains_lets_our_call_finish() -> None:
    async with ruby_server() as server, channel_to(server.port) as channel:
        async with request(channel, BIDI) as stream:
            await stream.send_message(StreamMessage(stream_id="a", message="one"))
            assert await stream.recv_message() is not None
            await server.drain()
            with trio.fail_after(30):
                late = Status.OK
                while late is Status.OK:  # Until the server has said so.
                    try:
                        await converse(channel, UNARY, "too late?")
                    except GRPCError as error:
                        late = error.status
            assert late in {
                Status.UNAVAILABLE,
                Status.CANCELLED,
            }  # By the latter its core puts off who comes meanwhile.
            await stream.send_message(StreamMessage(stream_id="a", message="last"), end=True)
            assert [reply.response async for reply in stream] == ["from server: last"]
        with trio.fail_after(60):
            await server.drained.wait()


async def test_our_client_calls_a_ruby_server_over_tls(certificates: Certificates) -> None:
    async with ruby_server(*certificates.server, certificates.ca) as server:
        async with open_channel(LOOPBACK, server.port, tls=certificates.calling(certificates.client)) as channel:
            for kind in Cardinality:
                texts, _ = await converse(channel, kind, MEGABYTE, {REPLIES: "1"})
                assert len(texts) == 1
            assert channel.connections == 1
        async with open_channel(LOOPBACK, server.port, tls=certificates.calling()) as channel:
            with pytest.raises(GRPCError) as raised:
                await converse(channel, UNARY)
            assert raised.value.status is Status.UNAVAILABLE
