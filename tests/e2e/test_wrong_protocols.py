"""The wrong protocol on a port: the peer gets a readable error where its protocol allows one, and so does the log."""

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from echo.rpc import GRPCError, Server, Status, open_channel
from echo.transport.refusals import BURST
from tests.support.leaks import no_leaks, settles
from tests.support.quiet_clock import quiet
from tests.support.services import ECHO, BytesCodec, unary
from tests.support.serving import LOOPBACK, serving
from tests.support.tls import Certificates, serving_tls

CODEC = BytesCodec()
POST = b"POST /com.gopay.echo.Server/GetReply HTTP/1.0\r\nHost: x\r\nContent-Length: 9\r\n\r\n\0\0\0\0\4\n\2hi"
LINE = "'POST /com.gopay.echo.Server/GetReply'"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("echo.")]


@asynccontextmanager
async def a_server(
    caplog: pytest.LogCaptureFixture, tls: ssl.SSLContext | None = None, calling: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server that is still as good as before when the block is left."""
    caplog.set_level(logging.INFO)
    server = Server([ECHO], codec=CODEC)
    async with no_leaks() as leaks, serving(server) if tls is None else serving_tls(server, tls) as port:
        leaks.watch(server)
        yield port
        async with open_channel(LOOPBACK, port, tls=calling, codec=CODEC) as channel:
            assert await unary(channel, "One", b"hi") == b"hi"


async def exchanged(stream: trio.abc.Stream, said: bytes) -> bytes:
    """All that the server answers until it closes."""
    heard = b""
    with trio.fail_after(20), suppress(trio.BrokenResourceError):
        await stream.send_all(said)
        async for data in stream:
            heard += bytes(data)
    return heard


def told(answer: bytes) -> tuple[str, str]:
    """The status and the text of an answer in HTTP/1.1, and nothing else before or behind it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    assert f"content-length: {len(body)}" in fields
    assert "connection: close" in fields
    return status, body.decode()


async def test_http1_on_the_grpc_port_is_answered_in_http1(caplog: pytest.LogCaptureFixture) -> None:
    async with a_server(caplog) as port, await trio.open_tcp_stream(LOOPBACK, port) as client:
        name = "{}:{}".format(*client.socket.getsockname())
        status, text = told(await exchanged(client, POST))
    assert status == "HTTP/1.1 505 HTTP Version Not Supported"
    assert text.startswith("This port speaks gRPC (HTTP/2); the request arrived as HTTP/1.0.")
    assert lines(caplog) == [
        f"connection of {name} refused: the request {LINE} arrived as HTTP/1.0, this port speaks gRPC (HTTP/2)"
    ]


async def test_a_body_that_is_still_on_its_way_does_not_cost_the_client_its_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_server(caplog) as port, await trio.open_tcp_stream(LOOPBACK, port) as client:
        await client.send_all(b"POST / HTTP/1.1\r\ncontent-length: 5000000\r\n\r\n")
        await quiet()
        await client.send_all(b"x" * 1_000_000)
        await quiet()
        assert told(await exchanged(client, b"x"))[0] == "HTTP/1.1 505 HTTP Version Not Supported"


async def test_http1_within_tls_is_answered_in_http1(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    without_alpn = certificates.calling()
    without_alpn.set_alpn_protocols([])
    async with a_server(caplog, certificates.serving(), certificates.calling()) as port:
        tcp = await trio.open_tcp_stream(LOOPBACK, port)
        async with trio.SSLStream(tcp, without_alpn, server_hostname=LOOPBACK, https_compatible=True) as client:
            assert told(await exchanged(client, POST))[0] == "HTTP/1.1 505 HTTP Version Not Supported"


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "CONNECT"])
async def test_plain_http1_on_the_tls_port_is_answered_in_plain_http1(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    async with a_server(caplog, certificates.serving(), certificates.calling()) as port:
        async with await trio.open_tcp_stream(LOOPBACK, port) as client:
            answer = await exchanged(client, method.encode() + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
        text = "" if method == "HEAD" else "This port speaks gRPC over TLS; the request arrived in plain text.\n"
        assert told(answer) == ("HTTP/1.1 400 Bad Request", text)
        assert lines(caplog)[0].endswith(" failed: the client does not speak TLS but plain HTTP/1.1")


async def test_tls_on_the_plain_port_is_named_in_the_log_and_by_our_client(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_server(caplog) as port:
        async with open_channel(LOOPBACK, port, tls=certificates.calling(), codec=CODEC) as channel:
            with pytest.raises(GRPCError) as raised:
                await unary(channel, "One", b"hi")
        assert raised.value.message == (
            f"cannot connect to {LOOPBACK}:{port}: TLS handshake failed: the server does not speak TLS but plain HTTP/2"
        )
        assert lines(caplog)[0].endswith(" refused: the client speaks TLS, this port speaks plain text")


async def test_plain_grpc_on_the_tls_port_is_named_in_the_log_and_by_our_client(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_server(caplog, certificates.serving(), certificates.calling()) as port:
        async with open_channel(LOOPBACK, port, codec=CODEC) as channel:
            with pytest.raises(GRPCError) as raised:
                await unary(channel, "One", b"hi")
        assert raised.value.status is Status.UNAVAILABLE
        assert raised.value.message == (
            f"cannot connect to {LOOPBACK}:{port}: it speaks TLS but was called in plain text"
        )
        assert lines(caplog)[0].endswith(" failed: the client does not speak TLS but plain HTTP/2")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_a_proxy_that_does_so_with_every_call_does_not_fill_the_log(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, secure: bool, mock_clock: trio.testing.MockClock
) -> None:
    context = certificates.serving() if secure else None
    caplog.set_level(logging.INFO)
    server = Server([ECHO], codec=CODEC)
    async with serving(server) if context is None else serving_tls(server, context) as port:
        for _ in range(2 * BURST):
            async with await trio.open_tcp_stream(LOOPBACK, port) as client:
                await exchanged(client, POST)
        assert len(lines(caplog)) == BURST
        mock_clock.jump(10)
        async with await trio.open_tcp_stream(LOOPBACK, port) as client:
            await exchanged(client, POST)
        await settles(lambda: len(lines(caplog)), BURST + 1, "lines in the log")
        assert lines(caplog)[-1].endswith(f"({BURST} more before it were not logged)")
