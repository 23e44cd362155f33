"""A client of @grpc/grpc-js drives every rpc of our server: gRPC of a third make."""

import base64

import pytest
import trio
import trio.testing
from grpclib.reflection.v1 import reflection_pb2

from echo.rpc import Cardinality, Limits, Status
from tests.support.grpc_js import begun, grpc_js_client, needs_node
from tests.support.leaks import settles
from tests.support.ours import our_server
from tests.support.recording import (
    PATHS,
    REPLIES,
    SENDING,
    SLEEPING,
    STATUS,
    STATUS_DETAILS,
    STATUS_MESSAGE,
    WAIT,
)
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
HEALTH = "/grpc.health.v1.Health"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

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


async def test_a_grpc_js_client_gets_every_reply() -> None:
    async with our_server() as ours, grpc_js_client(ours.port) as client:
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


async def test_a_grpc_js_client_gets_a_server_stream(mock_clock: trio.testing.MockClock) -> None:
    mock_clock.rate = 10
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        outcome = await client.call(ECHO_PATHS[SERVER_STREAM], SERVER_STREAM, [{"stream_id": "a", "message": "hi"}])
        assert outcome.code == 0
        assert outcome.texts == [f"from server: hi (echo {number}/5)" for number in range(1, 6)]
        mock_clock.rate = 0


async def test_a_grpc_js_client_is_told_what_is_refused() -> None:
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        for kind, path in ECHO_PATHS.items():
            outcome = await client.call(path, kind, [{"message": "nameless"}])
            assert (outcome.code, outcome.details) == (Status.INVALID_ARGUMENT.value, "stream_id is required")
        for path in ("/com.gopay.echo.Server/Nothing", "/no.such.Service/GetReply"):
            assert (await client.call(path, UNARY)).code == Status.UNIMPLEMENTED.value


async def test_a_grpc_js_client_exchanges_metadata_and_trailers() -> None:
    pairs = [*METADATA.items(), ("trailing-text", "again"), ("trailing-octets-bin", b"again")]
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        for kind in Cardinality:
            outcome = await client.call(PATHS[kind], kind, [{}], pairs)
            seen = await ours.recorder.calls.next()
            for key in METADATA:
                assert seen.metadata.getall(key) == [value for name, value in pairs if name == key]
            assert outcome.code == 0
            assert [pair for pair in outcome.initial if pair[0].startswith("initial")] == pairs[:2]
            assert outcome.trailing == [
                ("trailing-text", "~ more ~, again"),  # Node.js joins what is repeated, but for octets.
                ("trailing-octets-bin", bytes(range(256))),
                ("trailing-octets-bin", b"again"),
            ]


async def test_a_grpc_js_client_gets_a_status_with_message_and_details() -> None:
    asked: dict[str, str | bytes] = {
        STATUS: str(Status.FAILED_PRECONDITION.value),
        STATUS_MESSAGE: STATUS_TEXT.encode(),
        STATUS_DETAILS: b"\x08\x09\x12\x02no",
        "trailing-reason": "because",
    }
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        for kind in Cardinality:
            outcome = await client.record(kind, asked)
            assert (outcome.code, outcome.details) == (Status.FAILED_PRECONDITION.value, STATUS_TEXT)
            # Where the trailers are all there is, grpc-js leaves more of the head in them than it should.
            assert dict(outcome.trailing).items() >= {
                ("grpc-status-details-bin", asked[STATUS_DETAILS]),
                ("trailing-reason", "because"),
            }


@KINDS
async def test_a_grpc_js_client_s_deadline_cancels_the_handler(kind: Cardinality) -> None:
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        number = await client.start(PATHS[kind], kind, [{}], {WAIT: SLEEPING}.items(), timeout=0.5)
        seen = await ours.recorder.calls.next()
        assert 0 < seen.time_remaining <= 0.5
        assert (await client.outcome(number)).code == Status.DEADLINE_EXCEEDED.value
        with trio.fail_after(5):
            await seen.ended.wait()
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"


# Not while the handler receives: Node.js half-closes a stream before it resets it, so that the handler is told of that.
@pytest.mark.parametrize(
    ("kind", "where"), [*((kind, SLEEPING) for kind in Cardinality), (SERVER_STREAM, SENDING), (BIDI, SENDING)]
)
async def test_a_grpc_js_client_that_cancels_is_seen_by_the_handler(kind: Cardinality, where: str) -> None:
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        number = await client.start(PATHS[kind], kind, [{}], {WAIT: where}.items(), open=True)
        seen = await begun(ours.recorder)
        assert not seen.ended.is_set()
        await client.cancel(number)
        with trio.fail_after(5):
            await seen.ended.wait()
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"
        assert (await client.outcome(number)).code == Status.CANCELLED.value
        assert (await client.record(UNARY)).texts == ["hi"]
        assert ours.server.connections == 1


async def test_a_grpc_js_client_that_dies_is_seen_by_the_handler() -> None:
    async with our_server() as ours:
        async with grpc_js_client(ours.port) as client:
            await client.start(PATHS[BIDI], BIDI, [{}], {WAIT: SLEEPING}.items(), open=True)
            seen = await begun(ours.recorder)
        with trio.fail_after(5):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
        await settles(lambda: ours.server.connections, 0, "connections of the server")


async def test_a_grpc_js_client_exchanges_a_megabyte() -> None:
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        for kind in Cardinality:
            assert set((await client.record(kind, message=MEGABYTE)).texts) == {MEGABYTE}


async def test_a_grpc_js_client_s_compressed_messages_are_taken() -> None:
    async with our_server() as ours, grpc_js_client(ours.port, COMPRESSION="gzip") as client:
        assert (await client.record(UNARY, message=MEGABYTE)).texts == [MEGABYTE]
        seen = await ours.recorder.calls.next()
        assert "grpc-encoding" not in seen.metadata  # It is ours to know, not the handler's.
        above = await client.record(UNARY, message="x" * (Limits().max_message_size + 1))
        assert above.code == Status.RESOURCE_EXHAUSTED.value
        assert "decompressed" in above.details  # So it did travel compressed.


@pytest.mark.parametrize(("limit", "at_once"), [(100, 100), (1_000, 200)])
async def test_two_hundred_calls_of_a_grpc_js_client_succeed_on_one_connection(limit: int, at_once: int) -> None:
    async with our_server(max_concurrent_streams=limit) as ours, grpc_js_client(ours.port) as client:
        await client.record(UNARY)  # So that the client has heard of the limit.
        ours.recorder.gate = trio.Event()
        calls = [await client.start(PATHS[UNARY], UNARY, [{"message": f"call {number}"}]) for number in range(200)]
        await settles(lambda: ours.server.calls, at_once, "calls at once")
        ours.recorder.gate.set()
        outcomes = [await client.outcome(call) for call in calls]
        assert [outcome.texts for outcome in outcomes] == [[f"call {number}"] for number in range(200)]
        assert ours.server.connections == 1


async def test_ten_thousand_messages_go_each_way_in_order() -> None:
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        numbers = list(range(1, 10_001))
        # The recorder fails the call at the first one out of order.
        assert (await client.call(PATHS[BIDI], BIDI, numbered=10_000)).numbers == numbers
        assert (await client.call(PATHS[CLIENT_STREAM], CLIENT_STREAM, numbered=10_000)).numbers == [10_000]
        assert (await client.record(SERVER_STREAM, {REPLIES: "10000"})).numbers == numbers


async def test_a_drain_lets_a_grpc_js_client_finish_what_runs() -> None:
    async with our_server() as ours, grpc_js_client(ours.port) as client, trio.open_nursery() as nursery:
        ours.recorder.gate = trio.Event()
        number = await client.start(PATHS[UNARY], UNARY, [{"message": "last orders"}])
        await ours.recorder.calls.next()
        nursery.start_soon(ours.server.drain, 20)
        await trio.testing.wait_all_tasks_blocked(0.01)
        ours.recorder.gate.set()
        assert (await client.outcome(number)).texts == ["last orders"]
        await settles(lambda: ours.server.connections, 0, "connections of the server")
        assert (await client.record(UNARY)).code == Status.UNAVAILABLE.value


async def test_a_grpc_js_client_asks_for_health() -> None:
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        names = ["", "com.gopay.echo.Server", "com.gopay.echo.streaming.StreamingServer"]
        for name in names:
            outcome = await client.call(f"{HEALTH}/Check", UNARY, [{"service": name}])
            assert outcome.replies == [{"status": "SERVING"}]
        outcome = await client.call(f"{HEALTH}/Check", UNARY, [{"service": "no.such.Service"}])
        assert outcome.code == Status.NOT_FOUND.value
        (listed,) = (await client.call(f"{HEALTH}/List", UNARY)).replies
        assert listed["statuses"] == {name: {"status": "SERVING"} for name in names}
        watch = await client.start(f"{HEALTH}/Watch", SERVER_STREAM, [{"service": names[1]}])
        await settles(lambda: ours.server.calls, 1, "calls of the server")
        await trio.testing.wait_all_tasks_blocked(0.01)
        ours.health.drain()
        outcome = await client.outcome(watch)
        assert (outcome.code, outcome.replies) == (0, [{"status": "SERVING"}, {"status": "NOT_SERVING"}])


async def test_a_grpc_js_client_asks_for_reflection() -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="*").SerializeToString()
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        outcome = await client.call(REFLECTION, BIDI, [base64.b64encode(request).decode()], bytes=True)
        (reply,) = outcome.replies
        listed = reflection_pb2.ServerReflectionResponse.FromString(base64.b64decode(reply)).list_services_response
        assert {service.name for service in listed.service} > {"com.gopay.echo.Server", "grpc.health.v1.Health"}


async def test_a_grpc_js_client_calls_over_tls(certificates: Certificates) -> None:
    async with our_server(certificates.serving(client_ca=certificates.ca)) as ours:
        async with grpc_js_client(ours.port, certificates.ca, *certificates.client) as client:
            for kind in Cardinality:
                assert set((await client.record(kind, message=MEGABYTE)).texts) == {MEGABYTE}
            assert ours.server.connections == 1
        for files in ([certificates.ca], [certificates.strange_ca, *certificates.client]):
            async with grpc_js_client(ours.port, *files) as client:
                assert (await client.record(UNARY)).code == Status.UNAVAILABLE.value
