"""Clients that a TLS listener refuses: each has one line in the log, with its address and what it did wrong."""

import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from echo.rpc import Server, open_channel
from echo.transport.link import LINGER
from tests.support.leaks import no_leaks, settles
from tests.support.pair import PREFACE
from tests.support.services import ECHO, BytesCodec, unary
from tests.support.serving import LOOPBACK
from tests.support.tls import Certificates, serving_tls

CODEC = BytesCodec()
HTTP1 = b"GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Refusing:
    """A TLS server, and its log lines about clients."""

    def __init__(self, port: int, caplog: pytest.LogCaptureFixture) -> None:
        self.port = port
        self._caplog = caplog

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(LOOPBACK, self.port)

    async def refused(self, client: tuple[str, int]) -> str:
        """Why the client was, by the log."""
        await settles(lambda: len(self._lines()), 1, "lines in the log")
        (line,) = self._lines()
        start = f"TLS handshake with {client[0]}:{client[1]} failed: "
        assert line.startswith(start)
        return line.removeprefix(start)

    def _lines(self) -> list[str]:
        records = [record for record in self._caplog.records if record.name.startswith("echo.")]
        assert all(record.levelno == logging.INFO for record in records)
        return [record.getMessage() for record in records]


@asynccontextmanager
async def refusing(
    context: ssl.SSLContext, calling: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Refusing]:
    """The server, which is still as good as before when the block is left."""
    caplog.set_level(logging.INFO)
    server = Server([ECHO], codec=CODEC)
    async with no_leaks() as leaks, serving_tls(server, context) as port:
        leaks.watch(server)
        yield Refusing(port, caplog)
        assert server.connections == 0
        async with open_channel(LOOPBACK, port, tls=calling, codec=CODEC) as channel:
            assert await unary(channel, "One", b"hi") == b"hi"


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "byte by byte"])
@pytest.mark.parametrize(
    ("said", "spoken"),
    [
        (HTTP1, "the client does not speak TLS but plain HTTP/1.1"),
        (b"DELETE /thing HTTP/1.0\r\n\r\n", "the client does not speak TLS but plain HTTP/1.1"),
        (PREFACE + b"\0\0\0\4\0\0\0\0\0", "the client does not speak TLS but plain HTTP/2"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the client does not speak TLS"),
        (b"\0\0\0\0\0\0", "the client does not speak TLS"),
    ],
    ids=["HTTP/1.1", "HTTP/1.0", "HTTP/2", "SSH", "zeros"],
)
async def test_the_protocol_that_a_client_speaks_instead_of_tls_is_named(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, said: bytes, spoken: str, at_once: bool
) -> None:
    async with refusing(certificates.serving(), certificates.calling(), caplog) as server:
        async with await server.connect() as client:
            with suppress(trio.BrokenResourceError):  # It may be refused before it has sent everything.
                for part in [said] if at_once else [bytes([byte]) for byte in said]:
                    await client.send_all(part)
                    await trio.testing.wait_all_tasks_blocked()
            name = client.socket.getsockname()
        reason = await server.refused(name)
    assert reason == spoken if at_once else reason.startswith("the client does not speak TLS")


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00"], ids=["nothing", "half a ClientHello"])
async def test_a_client_that_closes_is_logged(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    async with refusing(certificates.serving(), certificates.calling(), caplog) as server:
        async with await server.connect() as client:
            await client.send_all(said)
            name = client.socket.getsockname()
        assert await server.refused(name) == "the client closed the connection"


async def test_a_client_that_resets_the_connection_is_logged(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with refusing(certificates.serving(), certificates.calling(), caplog) as server:
        async with await server.connect() as client:
            await trio.testing.wait_all_tasks_blocked(0.01)
            name = client.socket.getsockname()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert "Connection reset by peer" in await server.refused(name)


async def test_a_silent_client_is_logged(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, mock_clock: trio.testing.MockClock
) -> None:
    async with refusing(certificates.serving(), certificates.calling(), caplog) as server:
        async with await server.connect() as client:
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(20)
            assert await client.receive_some(1) == b""
            name = client.socket.getsockname()
        assert await server.refused(name) == "it took longer than 20 s"


async def test_a_client_without_the_required_certificate_is_logged(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    with_certificate = certificates.calling(certificates.client)
    async with refusing(certificates.serving(client_ca=certificates.ca), with_certificate, caplog) as server:
        tcp = await server.connect()
        async with trio.SSLStream(
            tcp, certificates.calling(), server_hostname=LOOPBACK, https_compatible=True
        ) as client:
            with pytest.raises(trio.BrokenResourceError):
                await client.receive_some()
            name = tcp.socket.getsockname()
        assert "peer did not return a certificate" in await server.refused(name)


async def test_a_refused_client_may_go_on_speaking_for_a_moment(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, mock_clock: trio.testing.MockClock
) -> None:
    """Else TCP would reset the connection, and the alert might be lost on a client that is sending."""
    async with (
        refusing(certificates.serving(), certificates.calling(), caplog) as server,
        await server.connect() as client,
    ):
        await client.send_all(b"\x16\x03\x01\0\x05\1\0\0\1\0")  # A ClientHello of one byte.
        assert (await client.receive_some())[:1] == b"\x15"
        assert await client.receive_some() == b""
        for _ in range(3):
            await client.send_all(b"more")
            await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(LINGER)
        with pytest.raises(trio.BrokenResourceError):
            for _ in range(3):
                await trio.testing.wait_all_tasks_blocked(0.01)
                await client.send_all(b"more")


# Which protocol TLS is to carry (ALPN, RFC 7301)


def offering(context: ssl.SSLContext, *protocols: str, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context.set_alpn_protocols(list(protocols))
    if version is not None:
        context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("protocols", "named"),
    [(["http/1.1"], "http/1.1"), (["http/1.1", "http/1.0"], "http/1.1, http/1.0"), (["h2\n"], "h2\\n")],
    ids=["one", "two", "a strange one"],
)
async def test_a_client_that_offers_other_protocols_than_http2_is_told_so_by_the_alert_for_that(
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    version: ssl.TLSVersion,
    protocols: list[str],
    named: str,
) -> None:
    async with refusing(certificates.serving(), certificates.calling(), caplog) as server:
        tcp = await server.connect()
        tls = offering(certificates.calling(), *protocols, version=version)
        async with trio.SSLStream(tcp, tls, server_hostname=LOOPBACK, https_compatible=True) as client:
            with pytest.raises(trio.BrokenResourceError) as raised:
                await client.do_handshake()
            assert "no application protocol" in str(raised.value.__cause__)
            name = tcp.socket.getsockname()
        assert await server.refused(name) == f"the client does not offer h2 by ALPN, only {named}; gRPC needs HTTP/2"


async def test_a_client_s_protocols_are_found_however_its_hello_is_split(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    outgoing = ssl.MemoryBIO()
    tls = offering(certificates.calling(), "http/1.1").wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=LOOPBACK)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    async with refusing(certificates.serving(), certificates.calling(), caplog) as server:
        async with await server.connect() as client:
            for part in (hello[:1], hello[1:60], hello[60:]):
                await trio.testing.wait_all_tasks_blocked(0.01)
                await client.send_all(part)
            name = client.socket.getsockname()
        assert await server.refused(name) == "the client does not offer h2 by ALPN, only http/1.1; gRPC needs HTTP/2"


async def test_a_server_s_context_that_prefers_another_protocol_is_named_as_the_reason(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    without_alpn = certificates.calling()
    without_alpn.set_alpn_protocols([])
    async with refusing(offering(certificates.serving(), "http/1.1"), without_alpn, caplog) as server:
        tcp = await server.connect()
        tls = offering(certificates.calling(), "h2", "http/1.1")
        async with trio.SSLStream(tcp, tls, server_hostname=LOOPBACK, https_compatible=True) as client:
            with suppress(trio.BrokenResourceError):
                await client.do_handshake()
                assert await client.receive_some() == b""
            name = tcp.socket.getsockname()
        reason = "the server's own context selected http/1.1 by ALPN; gRPC needs h2"
        assert await server.refused(name) == reason


@pytest.mark.parametrize("protocols", [[], ["h2"], ["grpc-exp", "h2"], ["http/1.1", "h2"]], ids=", ".join)
async def test_a_client_that_offers_http2_or_nothing_at_all_is_served(
    certificates: Certificates, protocols: list[str]
) -> None:
    tls = certificates.calling()
    tls.set_alpn_protocols(protocols)
    async with (
        serving_tls(Server([ECHO], codec=CODEC), certificates.serving()) as port,
        open_channel(LOOPBACK, port, tls=tls, codec=CODEC) as channel,
    ):
        assert await unary(channel, "One", b"hi") == b"hi"
