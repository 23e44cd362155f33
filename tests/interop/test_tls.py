"""TLS on real sockets: our server with grpcio's client and our client with grpcio's server."""

from collections.abc import Mapping
from functools import partial

import grpc
import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, Server, open_channel
from echo.services import echo_services
from tests.support import grpcio
from tests.support.gateway import gateway_to, http_get
from tests.support.grpcio import PATIENCE, Client, Dynamic, in_thread
from tests.support.leaks import settles
from tests.support.ours import our_server
from tests.support.recording import REPLIES, SENDING, SLEEPING, WAIT
from tests.support.services import UNARY, BytesCodec, BytesStream, Service, path, unary
from tests.support.serving import LOOPBACK
from tests.support.tls import (
    CLIENT_NAME,
    OTHER_NAME,
    Certificates,
    channel_to,
    get_reply,
    grpcio_tls_client,
    grpcio_tls_server,
    serving_tls,
    stock_refusal,
)

BIDI = Cardinality.STREAM_STREAM
STREAMING = "/com.gopay.echo.streaming.StreamingServer"
ECHO_PATHS = {
    Cardinality.STREAM_UNARY: f"{STREAMING}/ClientStream",
    Cardinality.UNARY_STREAM: f"{STREAMING}/ServerStream",
    BIDI: f"{STREAMING}/BidirectionalStream",
}
MEGABYTE = "é" * 500_000

KINDS = pytest.mark.parametrize("kind", list(Cardinality), ids=lambda kind: kind.name.lower())


def request(
    channel: Channel, kind: Cardinality, metadata: Mapping[str, str] | None = None
) -> ClientStream[StreamMessage, StreamResponse]:
    """A call of a streaming echo, by our client."""
    return channel.request(ECHO_PATHS[kind], kind, StreamMessage, StreamResponse, metadata=metadata, timeout=PATIENCE)


async def stock_reply(client: Client, text: str = "hi") -> None:
    """See to it that a stock client can."""
    reply = await in_thread(client.get_reply, grpcio.Message(message=text), timeout=PATIENCE)
    assert reply.response == f"from server:{text}"


def record(client: Client, kind: Cardinality, text: str = "hi", **metadata: str) -> Dynamic:
    """Start a call of the recorder's by a stock client; keys are written with underscores."""
    method = client.recorder(kind)
    message = grpcio.StreamMessage(stream_id="a", message=text)
    return (method if kind.server_streaming else method.future)(
        iter([message]) if kind.client_streaming else message,
        timeout=PATIENCE,
        metadata=[(key.replace("_", "-"), value) for key, value in metadata.items()],
    )


def replies(kind: Cardinality, call: Dynamic) -> list[str]:
    """The texts a call of a stock client's is answered with; blocks until its end."""
    return [reply.response for reply in (call if kind.server_streaming else [call.result()])]


# Our server, a stock client


@KINDS
@pytest.mark.parametrize("text", ["hi", MEGABYTE], ids=["short", "a megabyte"])
async def test_a_stock_client_makes_every_type_of_call(
    certificates: Certificates, kind: Cardinality, text: str
) -> None:
    async with (
        our_server(certificates.serving(), descriptors=False) as ours,
        grpcio_tls_client(ours.port, certificates.grpcio_calling()) as client,
    ):
        call = record(client, kind, text, want_replies="2")
        assert set(await in_thread(replies, kind, call)) == {text}
        assert ours.server.connections == 1


@pytest.mark.parametrize(
    ("kind", "where"),
    [*((kind, SLEEPING) for kind in Cardinality), (Cardinality.UNARY_STREAM, SENDING), (BIDI, SENDING)],
)
async def test_a_stock_client_that_cancels_is_noticed(
    certificates: Certificates, kind: Cardinality, where: str
) -> None:
    async with (
        our_server(certificates.serving(), descriptors=False) as ours,
        grpcio_tls_client(ours.port, certificates.grpcio_calling()) as client,
    ):
        call = record(client, kind, want_wait=where)
        seen = await ours.recorder.calls.next()
        await in_thread(call.cancel)
        with trio.fail_after(20):
            await seen.ended.wait()
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"
        await stock_reply(client)


async def test_a_drain_lets_a_stock_client_finish_what_runs(certificates: Certificates) -> None:
    async with (
        our_server(certificates.serving(), descriptors=False) as ours,
        grpcio_tls_client(ours.port, certificates.grpcio_calling()) as client,
        trio.open_nursery() as nursery,
    ):
        ours.recorder.gate = trio.Event()
        call = record(client, UNARY, "last orders")
        await ours.recorder.calls.next()
        nursery.start_soon(ours.server.drain, 20)
        await trio.testing.wait_all_tasks_blocked(0.01)
        ours.recorder.gate.set()
        assert await in_thread(replies, UNARY, call) == ["last orders"]
        await settles(lambda: ours.server.connections, 0, "connections of the server")


async def test_a_drain_beyond_its_grace_is_told_as_unavailable(certificates: Certificates) -> None:
    async with (
        our_server(certificates.serving(), descriptors=False) as ours,
        grpcio_tls_client(ours.port, certificates.grpcio_calling()) as client,
    ):
        call = record(client, BIDI, want_wait=SLEEPING)
        seen = await ours.recorder.calls.next()
        with trio.fail_after(20):
            await ours.server.drain(0)
        assert seen.cancelled.is_set()
        with pytest.raises(grpc.RpcError) as raised:
            await in_thread(list, call)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_stock_client_must_show_a_certificate_that_we_know(certificates: Certificates) -> None:
    calling = certificates.grpcio_calling
    async with our_server(certificates.serving(client_ca=certificates.ca), descriptors=False) as ours:
        async with grpcio_tls_client(ours.port, calling(certificates.client)) as client:
            await stock_reply(client)
        for pair in (None, certificates.strange_client):
            async with grpcio_tls_client(ours.port, calling(pair)) as client:
                await stock_refusal(client)
        async with grpcio_tls_client(ours.port, calling(certificates.client)) as client:
            await stock_reply(client)


async def test_a_stock_client_refuses_our_server_s_certificate_as_it_should(certificates: Certificates) -> None:
    async with our_server(certificates.serving(), descriptors=False) as ours:
        async with grpcio_tls_client(ours.port, certificates.grpcio_calling(ca=certificates.strange_ca)) as client:
            await stock_refusal(client)
        async with grpcio_tls_client(ours.port, certificates.grpcio_calling(), name=OTHER_NAME) as client:
            await stock_refusal(client)
        async with grpcio_tls_client(ours.port, certificates.grpcio_calling(), name="localhost") as client:
            await stock_reply(client)


async def test_the_server_speaks_http2_by_alpn(certificates: Certificates) -> None:
    context = certificates.calling()
    context.set_alpn_protocols(["http/1.1", "h2"])
    async with (
        our_server(certificates.serving(), descriptors=False) as ours,
        await trio.open_ssl_over_tcp_stream(LOOPBACK, ours.port, ssl_context=context) as stream,
    ):
        await stream.do_handshake()
        assert stream.selected_alpn_protocol() == "h2"


# Our client, a stock server


@KINDS
@pytest.mark.parametrize("text", ["hi", MEGABYTE], ids=["short", "a megabyte"])
async def test_our_client_makes_every_type_of_call(certificates: Certificates, kind: Cardinality, text: str) -> None:
    async with (
        grpcio_tls_server(certificates.grpcio_serving()) as server,
        channel_to(server.port, certificates.calling()) as channel,
    ):
        if kind is UNARY:
            assert await get_reply(channel, text) == f"from server:{text}"
            return
        async with request(channel, kind, {REPLIES: "1"}) as stream:
            await stream.send_message(StreamMessage(stream_id="a", message=text), end=True)
            answers = [reply.response async for reply in stream]
        expected = {
            Cardinality.STREAM_UNARY: "from server: received 1 messages",
            Cardinality.UNARY_STREAM: f"from server: {text} (echo 1/1)",
            BIDI: f"from server: {text}",
        }
        assert answers == [expected[kind]]


@pytest.mark.parametrize("kind", list(ECHO_PATHS), ids=lambda kind: kind.name.lower())
async def test_a_stock_server_notices_that_our_client_cancels(certificates: Certificates, kind: Cardinality) -> None:
    async with (
        grpcio_tls_server(certificates.grpcio_serving()) as server,
        channel_to(server.port, certificates.calling()) as channel,
    ):
        async with request(channel, kind, {WAIT: SLEEPING}) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            seen = await server.calls.next()
        with trio.fail_after(30):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
        assert await get_reply(channel, "again") == "from server:again"
        assert channel.connections == 1


async def test_a_stock_server_that_stops_with_grace_lets_our_call_finish(certificates: Certificates) -> None:
    async with (
        grpcio_tls_server(certificates.grpcio_serving()) as server,
        channel_to(server.port, certificates.calling()) as channel,
        trio.open_nursery() as nursery,
        request(channel, BIDI) as stream,
    ):
        await stream.send_message(StreamMessage(stream_id="a", message="one"))
        assert await stream.recv_message() is not None
        nursery.start_soon(partial(in_thread, server.stop, 20.0))
        await stream.send_message(StreamMessage(stream_id="a", message="last"), end=True)
        assert [reply.response async for reply in stream] == ["from server: last"]


# Who is at the other end


async def test_a_handler_sees_the_certificate_of_its_client(certificates: Certificates) -> None:
    async def who(stream: BytesStream) -> None:
        await stream.recv_message()
        assert stream.peer is not None
        certificate = stream.peer.cert()
        await stream.send_message(str(certificate and certificate["subjectAltName"]).encode())

    shown = str((("email", CLIENT_NAME),)).encode()
    server = Server([Service(Who=(UNARY, who))], codec=BytesCodec())
    async with serving_tls(server, certificates.serving(client_ca=certificates.ca)) as port:
        async with grpcio_tls_client(port, certificates.grpcio_calling(certificates.client)) as client:
            assert await in_thread(client.channel.unary_unary(path("Who")), b"", timeout=PATIENCE) == shown
        tls = certificates.calling(certificates.client)
        async with open_channel(LOOPBACK, port, tls=tls, codec=BytesCodec()) as channel:
            assert await unary(channel, "Who") == shown
    async with (
        serving_tls(server, certificates.serving()) as port,
        grpcio_tls_client(port, certificates.grpcio_calling(certificates.client)) as client,
    ):
        assert await in_thread(client.channel.unary_unary(path("Who")), b"", timeout=PATIENCE) == b"None"


@pytest.mark.parametrize(
    ("which", "variables", "status"),
    [
        ("sound", {"GRPC_CLIENT_CA": "{0.ca}"}, 200),
        ("sound", {"GRPC_CLIENT_CA": "{0.strange_ca}"}, 503),
        ("sound", {}, 503),
        ("sound", {"GRPC_CLIENT_INSECURE": "true"}, 200),
        ("misnamed", {"GRPC_CLIENT_CA": "{0.ca}"}, 503),
        ("misnamed", {"GRPC_CLIENT_CA": "{0.ca}", "GRPC_CLIENT_SERVER_NAME": OTHER_NAME}, 200),
        ("misnamed", {"GRPC_CLIENT_INSECURE": "true"}, 200),
        ("strange", {"GRPC_CLIENT_CA": "{0.ca}", "GRPC_CLIENT_SERVER_NAME": "localhost"}, 503),
        ("mutual", {"GRPC_CLIENT_CA": "{0.ca}"}, 503),
        (
            "mutual",
            {
                "GRPC_CLIENT_CA": "{0.ca}",
                "GRPC_CLIENT_CERT": "{0.client.cert}",
                "GRPC_CLIENT_KEY": "{0.client.key}",
            },
            200,
        ),
    ],
)
async def test_the_gateway_calls_by_its_settings(
    certificates: Certificates, which: str, variables: dict[str, str], status: int
) -> None:
    contexts = {
        "sound": certificates.serving(),
        "misnamed": certificates.serving(certificates.misnamed),
        "strange": certificates.serving(certificates.strange_server),
        "mutual": certificates.serving(client_ca=certificates.ca),
    }
    server = Server(echo_services().services)
    environment = {name: value.format(certificates) for name, value in variables.items()}
    async with (
        serving_tls(server, contexts[which]) as port,
        gateway_to(port, server, GRPC_SERVER_TLS="true", **environment) as gateway,
    ):
        answer = await http_get(gateway.port, "/grpc/hello")
    assert answer.status == status, answer.body
    assert (b"from server:hello" in answer.body) == (status == 200)
