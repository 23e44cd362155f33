"""Scripting and evidence as stock grpcio clients see them, and what the evidence says of TLS."""

import json
from functools import partial

import grpc
import pytest

from echo.pb.com.gopay.echo import Message as OurMessage
from echo.pb.com.gopay.echo import Response
from echo.pb.com.gopay.echo.evidence import EvidenceStub, GetRequest, Record
from echo.rpc import Channel, bind
from tests.support.grpcio import PATIENCE, Client, Dynamic, Message, StreamMessage, grpcio_client, in_thread
from tests.support.ours import our_server
from tests.support.services import UNARY
from tests.support.target import GET_REPLY
from tests.support.tls import Certificates, channel_to

Fields = list[tuple[str, str]]


def asked(**script: str) -> Fields:
    return [(f"x-echo-{name.replace('_', '-')}", value) for name, value in script.items()]


async def failed(client: Client, metadata: Fields) -> Dynamic:
    """How a unary call with this script fails."""
    with pytest.raises(grpc.RpcError) as raised:
        await in_thread(client.get_reply, Message(message="hi"), timeout=PATIENCE, metadata=metadata)
    return raised.value


async def test_a_status_with_message_details_and_trailers() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        script = asked(status="14:pl%C3%A4ase", details="true", set_trailer="a=1")
        error = await failed(client, script)
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "pläase")
        trailers = dict(error.trailing_metadata())
        assert trailers["a"] == "1"
        assert trailers["grpc-status-details-bin"].startswith(b"\x08\x0e\x12\x07pl")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("CANCEL", grpc.StatusCode.CANCELLED),
        ("REFUSED_STREAM", grpc.StatusCode.UNAVAILABLE),
        ("ENHANCE_YOUR_CALM", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("INTERNAL_ERROR", grpc.StatusCode.INTERNAL),
    ],
)
async def test_a_reset(code: str, status: grpc.StatusCode) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        assert (await failed(client, asked(reset=code, after="0"))).code() is status


async def test_a_wrong_value_is_named() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        error = await failed(client, asked(count="many"))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "x-echo-count: 'many' is not a number (0 to 1000000)"


async def test_count_size_and_compression_of_a_stream() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        script = asked(count="7", interval="0", size="20000", compress="gzip", call_id="a")

        def call() -> list[Dynamic]:
            return list(client.server_stream(StreamMessage(stream_id="a"), timeout=PATIENCE, metadata=script))

        replies = await in_thread(call)
        assert [reply.ByteSize() for reply in replies] == [20_000] * 7
        async with channel_to(ours.port, None) as channel:
            assert (await evidence(channel)).bytes_out < 7_000


async def test_goaway_is_taken_by_a_stock_client_without_a_call_lost() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        for _ in range(10):
            call = partial(client.get_reply, Message(message="hi"), timeout=PATIENCE, metadata=asked(goaway="true"))
            assert (await in_thread(call)).response == "from server:hi"


async def test_a_report_comes_to_a_stock_client() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:

        def call() -> Dynamic:
            _, ended = client.get_reply.with_call(
                Message(message="hi"), timeout=PATIENCE, metadata=asked(report="true", call_id="a")
            )
            return dict(ended.trailing_metadata())["x-echo-report"]

        told = json.loads(await in_thread(call))
        assert (told["messages_in"], told["messages_out"], told["status"]) == (1, 1, "OK")
        assert told["deadline_left"] == pytest.approx(PATIENCE, rel=0.1)


async def evidence(channel: Channel) -> Record:
    async with bind(EvidenceStub, channel) as stub:
        return await stub.get(GetRequest("a"))


async def test_the_evidence_says_what_tls_agreed_on(certificates: Certificates) -> None:
    context = certificates.serving(client_ca=certificates.ca)
    async with our_server(context, descriptors=False) as ours:
        calling = certificates.calling(certificates.client)
        async with channel_to(ours.port, calling, server_hostname="localhost") as channel:
            metadata = {"x-echo-call-id": "a"}
            async with channel.request(GET_REPLY, UNARY, OurMessage, Response, metadata=metadata) as stream:
                await stream.send_message(OurMessage("hi"))
                await stream.recv_message()
            record = await evidence(channel)
    assert (record.tls.version, record.tls.alpn, record.tls.sni) == ("TLSv1.3", "h2", "localhost")
    assert record.tls.cipher.startswith("TLS_")
    assert record.peer.startswith("127.0.0.1:")
    assert record.local == f"127.0.0.1:{ours.port}"
    assert record.tls.peer_subject.startswith("O=trustme")


async def test_in_plain_text_there_is_no_tls() -> None:
    async with our_server(descriptors=False) as ours, channel_to(ours.port, None) as channel:
        metadata = {"x-echo-call-id": "a"}
        async with channel.request(GET_REPLY, UNARY, OurMessage, Response, metadata=metadata) as stream:
            await stream.send_message(OurMessage("hi"))
            await stream.recv_message()
        record = await evidence(channel)
    assert not record.tls
