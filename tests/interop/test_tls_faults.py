"""What goes wrong with TLS, on real sockets: who is refused, and what both ends, ours or grpcio's, report."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from echo.rpc import GRPCError, Server, Status, open_channel
from echo.services import echo_services
from echo.transport.starting import HANDSHAKE_TIMEOUT
from tests.support.grpcio import grpcio_client, grpcio_server
from tests.support.leaks import no_leaks, settles
from tests.support.ours import our_server
from tests.support.serving import LOOPBACK, serving
from tests.support.tls import (
    OTHER_NAME,
    Certificates,
    channel_to,
    get_reply,
    grpcio_tls_client,
    grpcio_tls_server,
    refusal,
    serving_tls,
    stock_refusal,
)


async def test_our_client_says_what_is_wrong_with_the_server_s_certificate(certificates: Certificates) -> None:
    async with our_server(certificates.serving(), descriptors=False) as ours:
        port = ours.port
        assert "certificate" in await refusal(port, certificates.calling(ca=certificates.strange_ca))
        assert "mismatch" in await refusal(port, certificates.calling(), server_hostname=OTHER_NAME)
        assert ours.server.connections == 0
    async with our_server(certificates.serving(certificates.misnamed), descriptors=False) as ours:
        assert "mismatch" in await refusal(ours.port, certificates.calling())
        async with channel_to(ours.port, certificates.calling(), server_hostname=OTHER_NAME) as channel:
            assert await get_reply(channel, "found") == "from server:found"


@pytest.mark.parametrize("name", [OTHER_NAME, "no..name"])
async def test_a_handshake_that_fails_leaves_no_socket_open(certificates: Certificates, name: str) -> None:
    server = Server(echo_services().services)
    async with no_leaks() as leaks, serving_tls(server, certificates.serving()) as port:
        leaks.watch(server)
        async with open_channel(LOOPBACK, port, tls=certificates.calling(), server_hostname=name) as channel:
            with pytest.raises(GRPCError) as raised:
                await get_reply(channel, "anybody?")
            assert raised.value.status is Status.UNAVAILABLE
            await leaks.no_connections()


async def test_plain_text_on_a_tls_port_is_refused_and_the_server_lives_on(certificates: Certificates) -> None:
    async with our_server(certificates.serving(), descriptors=False) as ours:
        assert "it speaks TLS but was called in plain text" in await refusal(ours.port, None)
        async with grpcio_client(ours.port) as plain:
            await stock_refusal(plain)
        async with channel_to(ours.port, certificates.calling()) as channel:
            assert await get_reply(channel, "still there?") == "from server:still there?"
    async with grpcio_tls_server(certificates.grpcio_serving()) as server:
        await refusal(server.port, None)


NOT_TLS = "TLS handshake failed: the server does not speak TLS"


async def test_tls_on_a_plain_text_port_is_refused_and_the_server_lives_on(certificates: Certificates) -> None:
    server = Server(echo_services().services)
    async with serving(server) as port:
        assert f"{NOT_TLS} but plain HTTP/2" in await refusal(port, certificates.calling())
        async with grpcio_tls_client(port, certificates.grpcio_calling()) as client:
            await stock_refusal(client)
        async with channel_to(port, None) as channel:
            assert await get_reply(channel, "still there?") == "from server:still there?"
    async with grpcio_server() as stock:
        assert f"{NOT_TLS} but plain HTTP/2" in await refusal(stock.port, certificates.calling())


@asynccontextmanager
async def answering(answer: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    """A server of nobody's make, which answers each client that has said something, and closes."""

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await answer(stream)

    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", f"{NOT_TLS} but plain HTTP/1.1"),
        (b"220 mail.test ESMTP\r\n", NOT_TLS),
        (b"", "TLS handshake failed: the server closed the connection"),
    ],
    ids=["HTTP/1.1", "SMTP", "nothing"],
)
async def test_what_a_server_speaks_instead_of_tls_is_named(certificates: Certificates, said: bytes, told: str) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(said)

    async with answering(answer) as port:
        assert (await refusal(port, certificates.calling())).endswith(told)


async def test_a_server_that_chooses_another_protocol_than_http2_is_told_apart(certificates: Certificates) -> None:
    serving_http1 = certificates.serving()
    serving_http1.set_alpn_protocols(["http/1.1"])
    calling = certificates.calling()
    calling.set_alpn_protocols(["h2", "http/1.1"])

    async def answer(stream: trio.SocketStream) -> None:
        tls = trio.SSLStream(stream, serving_http1, server_side=True, https_compatible=True)
        await tls.do_handshake()
        await tls.receive_some()

    async with answering(answer) as port:
        assert "the server selected http/1.1 by ALPN; gRPC needs h2" in await refusal(port, calling)


async def test_a_server_that_takes_none_of_the_protocols_offered_is_told_apart(certificates: Certificates) -> None:
    calling = certificates.calling()
    calling.set_alpn_protocols(["http/1.1"])
    async with our_server(certificates.serving(), descriptors=False) as ours:
        assert "the server accepts none of the protocols offered by ALPN" in await refusal(ours.port, calling)


async def test_a_server_whose_certificate_we_refuse_is_told_so_by_an_alert(certificates: Certificates) -> None:
    told: list[str] = []

    async def answer(stream: trio.SocketStream) -> None:
        tls = trio.SSLStream(stream, certificates.serving(), server_side=True, https_compatible=True)
        try:
            await tls.receive_some()
        except trio.BrokenResourceError as error:
            told.append(str(error.__cause__))

    async with answering(answer) as port:
        assert "certificate" in await refusal(port, certificates.calling(ca=certificates.strange_ca))
    assert "unknown ca" in told[0]


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00"], ids=["nothing", "half a ClientHello"])
async def test_a_handshake_that_never_completes_is_given_up(
    certificates: Certificates, said: bytes, mock_clock: trio.testing.MockClock
) -> None:
    async with our_server(certificates.serving(), descriptors=False) as ours:
        async with await trio.open_tcp_stream(LOOPBACK, ours.port) as stalled:
            if said:
                await stalled.send_all(said)
            async with channel_to(ours.port, certificates.calling()) as channel:
                assert await get_reply(channel, "meanwhile") == "from server:meanwhile"
            started = trio.current_time()
            mock_clock.autojump_threshold = 0.01
            try:
                assert await stalled.receive_some(1) == b""
            except trio.BrokenResourceError:  # Closed with bytes unread, which TCP tells by a reset.
                assert said
            assert trio.current_time() - started == pytest.approx(HANDSHAKE_TIMEOUT, abs=0.1)
            mock_clock.autojump_threshold = math.inf
        async with channel_to(ours.port, certificates.calling()) as channel:
            assert await get_reply(channel, "still there?") == "from server:still there?"


async def test_a_server_that_never_completes_the_handshake_is_given_up(
    certificates: Certificates, quiet_clock: trio.abc.Clock
) -> None:
    async def silence(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass

    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, silence, [listener])
        port = listener.socket.getsockname()[1]
        async with open_channel(LOOPBACK, port, tls=certificates.calling(), connect_timeout=7) as channel:
            with pytest.raises(GRPCError) as raised:
                await get_reply(channel, "anybody?")
        assert raised.value.status is Status.UNAVAILABLE
        assert raised.value.message == f"cannot connect to {LOOPBACK}:{port}: no answer within 7 s"
        assert trio.current_time() == pytest.approx(7, abs=0.5)
        nursery.cancel_scope.cancel()


async def test_our_client_is_refused_for_want_of_a_certificate(certificates: Certificates) -> None:
    async with our_server(certificates.serving(client_ca=certificates.ca), descriptors=False) as ours:
        # The reason arrives although the client, which has done its part of the handshake, is already speaking.
        assert "CERTIFICATE_REQUIRED" in await refusal(ours.port, certificates.calling())
        assert "UNKNOWN_CA" in await refusal(ours.port, certificates.calling(certificates.strange_client))
        async with channel_to(ours.port, certificates.calling(certificates.client)) as channel:
            assert await get_reply(channel, "it is me") == "from server:it is me"


async def test_a_client_refused_for_want_of_a_certificate_gets_an_alert(certificates: Certificates) -> None:
    alerts = [(None, "CERTIFICATE_REQUIRED"), (certificates.strange_client, "UNKNOWN_CA")]
    async with our_server(certificates.serving(client_ca=certificates.ca), descriptors=False) as ours:
        for pair, alert in alerts:
            tls = certificates.calling(pair)
            # A client of another make, that only listens.
            async with await trio.open_ssl_over_tcp_stream(LOOPBACK, ours.port, ssl_context=tls) as stream:
                with pytest.raises(trio.BrokenResourceError) as raised:
                    await stream.receive_some()
            assert alert in str(raised.value.__cause__)


class Scrambler:
    """A relay whose lines can be told to put noise into one direction, as a record of TLS that nobody can decrypt."""

    NOISE = b"\x17\x03\x03\x00\x20" + b"noise..." * 4

    def __init__(self, target: int) -> None:
        self._target = target
        self.to_client = self.to_server = False

    async def carry(self, client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream(LOOPBACK, self._target)
        async with client, server, trio.open_nursery() as pumps:
            pumps.start_soon(self._pump, client, server, lambda: self.to_server)
            pumps.start_soon(self._pump, server, client, lambda: self.to_client)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, noisy: Callable[[], bool]) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                await sink.send_all(self.NOISE if noisy() else data)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await sink.send_eof()


@pytest.mark.parametrize("direction", ["to_client", "to_server"])
async def test_a_record_that_cannot_be_decrypted_ends_the_connection_and_nothing_else(
    certificates: Certificates, direction: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with our_server(certificates.serving(), descriptors=False) as ours, trio.open_nursery() as nursery:
        scrambler = Scrambler(ours.port)
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        await nursery.start(trio.serve_listeners, scrambler.carry, [listener])
        async with channel_to(listener.socket.getsockname()[1], certificates.calling()) as channel:
            assert await get_reply(channel, "clear") == "from server:clear"
            setattr(scrambler, direction, True)
            with pytest.raises(GRPCError) as raised:
                await get_reply(channel, "noise")
            assert raised.value.status is Status.UNAVAILABLE
            setattr(scrambler, direction, False)
            await settles(lambda: channel.connections, 0, "connections of the channel")
            assert await get_reply(channel, "clear again") == "from server:clear again"
        nursery.cancel_scope.cancel()
    assert not [record for record in caplog.records if record.exc_info]  # A fault of the line is not a fault of ours.


async def test_a_stock_server_takes_our_certificate_and_no_other(certificates: Certificates) -> None:
    async with grpcio_tls_server(certificates.grpcio_serving(client_ca=certificates.ca)) as server:
        async with channel_to(server.port, certificates.calling(certificates.client)) as channel:
            assert await get_reply(channel, "it is me") == "from server:it is me"
        for pair in (None, certificates.strange_client):
            assert "certificate" in (await refusal(server.port, certificates.calling(pair))).lower()


# Who is at the other end
