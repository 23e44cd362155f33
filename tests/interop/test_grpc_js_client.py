"""A client of @grpc/grpc-js, a third implementation of gRPC, calls every rpc of our server."""

import base64

import pytest
import trio
import trio.testing
from grpclib.reflection.v1 import reflection_pb2

from echo.rpc import Cardinality, Limits, Status
from tests.support.foreign import BIDI, MEGABYTE, METADATA, SERVER_STREAM, STATUS_TEXT, UNARY
from tests.support.grpc_js import begun, grpc_js_client, needs_node
from tests.support.leaks import settles
from tests.support.ours import our_server
from tests.support.recording import (
    PATHS,
    SENDING,
    SLEEPING,
    STATUS,
    STATUS_DETAILS,
    STATUS_MESSAGE,
    WAIT,
)
from tests.support.tls import Certificates

pytestmark = needs_node

HEALTH = "/grpc.health.v1.Health"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


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
        with trio.fail_after(20):
            await seen.ended.wait()
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"
        assert (await client.outcome(number)).code == Status.CANCELLED.value
        assert (await client.record(UNARY)).texts == ["hi"]
        assert ours.server.connections == 1


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


async def test_a_grpc_js_client_asks_for_health() -> None:
    async with our_server() as ours, grpc_js_client(ours.port) as client:
        names = [
            "",
            *(f"com.gopay.echo.{name}" for name in ("Server", "evidence.Evidence", "streaming.StreamingServer")),
        ]
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
