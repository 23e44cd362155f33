"""What Ruby's gRPC does in its own way, as a client and as a server: metadata, statuses, ends of calls, TLS."""

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import Cardinality, GRPCError, Status
from tests.support.foreign import (
    BIDI,
    CLIENT_STREAM,
    MEGABYTE,
    METADATA,
    NO_HEAD,
    SERVER_STREAM,
    STATUS_TEXT,
    UNARY,
    channel_to,
    converse,
    request,
)
from tests.support.ours import our_server
from tests.support.recording import (
    DEADLINE,
    PATHS,
    SENDING,
    SLEEPING,
    STATUS,
    STATUS_DETAILS,
    STATUS_MESSAGE,
    WAIT,
)
from tests.support.ruby import needs_ruby, ruby_client, ruby_server
from tests.support.tls import Certificates

pytestmark = needs_ruby

ASKED: dict[str, str | bytes] = {
    STATUS: str(Status.FAILED_PRECONDITION.value),
    STATUS_MESSAGE: STATUS_TEXT.encode(),
    STATUS_DETAILS: b"\x08\x09\x12\x02no",
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


# Our server, a client of Ruby's


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
            await client.cancel(number, begun=where == SENDING)
            await seen.ended.wait()
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"
        code = (await client.outcome(number)).code
        assert code == (NO_HEAD if (kind, where) == (SERVER_STREAM, SLEEPING) else Status.CANCELLED.value)
        assert (await client.record(UNARY)).texts == ["hi"]
        assert ours.server.connections == 1


async def test_a_ruby_client_calls_over_tls(certificates: Certificates) -> None:
    async with our_server(certificates.serving(client_ca=certificates.ca)) as ours:
        async with ruby_client(ours.port, certificates.ca, *certificates.client) as client:
            for kind in Cardinality:
                assert set((await client.record(kind, message=MEGABYTE)).texts) == {MEGABYTE}
            assert ours.server.connections == 1
        for files in ([certificates.ca], [certificates.strange_ca, *certificates.client]):
            async with ruby_client(ours.port, *files) as client:
                assert (await client.record(UNARY)).code == Status.UNAVAILABLE.value


# Our client, a server of Ruby's


async def test_a_deadline_of_our_client_s_is_known_to_a_ruby_server() -> None:
    kinds = (CLIENT_STREAM, BIDI)
    ended: dict[Cardinality, Status] = {}
    async with ruby_server() as server, channel_to(server.port) as channel:

        async def call(kind: Cardinality) -> None:
            try:
                async with request(channel, kind, {WAIT: SLEEPING}, timeout=DEADLINE) as stream:
                    await stream.send_request()
                    await stream.recv_message()
            except GRPCError as error:
                ended[kind] = error.status

        await converse(channel, UNARY)  # So that there is a connection.
        await server.calls.next()
        async with trio.open_nursery() as nursery:
            for kind in kinds:
                nursery.start_soon(call, kind)
            for _ in kinds:
                seen = await server.calls.next()
                assert 0 < seen.time_remaining <= DEADLINE + 0.1
                with trio.fail_after(30):
                    await seen.ended.wait()
    assert ended == dict.fromkeys(kinds, Status.DEADLINE_EXCEEDED)


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
