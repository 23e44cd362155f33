"""TLS by the gateway's own settings, ``HTTP_CERT`` and ``HTTP_KEY``; Hypercorn's are in `test_hypercorn_tls`."""

import ssl
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio

from echo.rpc import Servable
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.http2 import open_http2, websocket_over
from tests.support.serving import LOOPBACK
from tests.support.streams import HELLO, Patient
from tests.support.tls import Certificates
from tests.support.websocket import Closed

pytestmark = pytest.mark.usefixtures("nothing_left")

BIDIRECTIONAL = "/ws/stream/bidirectional"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def running_secure_gateway(
    certificates: Certificates, services: Iterable[Servable] | None = None
) -> AbstractAsyncContextManager[RunningGateway]:
    cert, key = certificates.server
    return running_gateway(services, HTTP_CERT=cert, HTTP_KEY=key)


def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.ca)


async def test_requests_and_websockets_over_http2(certificates: Certificates) -> None:
    async with (
        running_secure_gateway(certificates) as gateway,
        open_http2(gateway.port, trusting(certificates)) as http2,
    ):
        assert (await http2.get("/grpc/hi"))[1].endswith(b":from server:hi:success:true")
        socket = await websocket_over(http2, BIDIRECTIONAL, [("origin", "https://gateway.test")])
        await socket.send(HELLO)
        assert '"response":"from server: hi"' in str(await socket.receive())
        await socket.send("")
        assert await socket.receive() == Closed(1000)
        assert (await websocket_over(http2, BIDIRECTIONAL, [("origin", "http://gateway.test")])).status == 403


async def test_the_drain_closes_with_1001(certificates: Certificates) -> None:
    async with (
        running_secure_gateway(certificates) as gateway,
        open_http2(gateway.port, trusting(certificates)) as http2,
    ):
        socket = await websocket_over(http2, BIDIRECTIONAL)
        await socket.send(HELLO)
        await socket.receive()
        gateway.stop.set()
        assert await socket.receive() == Closed(1001, "going away")
    assert gateway.stopped.is_set()


async def test_a_connection_that_is_lost_cancels_its_calls(certificates: Certificates) -> None:
    """Without TLS's own goodbye, as when a browser is killed."""
    service = Patient()
    async with running_secure_gateway(certificates, [service]) as gateway:
        raw = await trio.open_tcp_stream(LOOPBACK, gateway.port)
        stream = trio.SSLStream(raw, trusting(certificates), server_hostname=LOOPBACK, https_compatible=True)
        await stream.send_all(
            b"GET /ws/stream/bidirectional HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
        await service.started.wait()
        await raw.aclose()
        await service.ended.wait()
        assert service.cancelled == 1


async def test_who_speaks_plain_text_to_it_is_turned_away_and_nobody_else_minds(certificates: Certificates) -> None:
    async with (
        running_secure_gateway(certificates) as gateway,
        open_http2(gateway.port, trusting(certificates)) as http2,
    ):
        async with await trio.open_tcp_stream(LOOPBACK, gateway.port) as stream:
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b"".join([data async for data in stream])
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert await http2.get("/healthz") == (200, b"Hello!")


async def everything(stream: trio.SocketStream) -> bytes:
    with trio.fail_after(20):
        return b"".join([bytes(data) async for data in stream])


async def test_plain_http_to_the_port_with_tls_is_told_so(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with (
        running_secure_gateway(certificates) as gateway,
        await trio.open_tcp_stream(LOOPBACK, gateway.port) as stream,
    ):
        await stream.send_all(b"GET /grpc/hi HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await everything(stream)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"This port speaks TLS: use https:// or wss://" in answer
    assert "plain HTTP arrived on the TLS port" in caplog.text


async def test_tls_to_the_port_without_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running_gateway() as gateway:
        stream = trio.SSLStream(
            await trio.open_tcp_stream(LOOPBACK, gateway.port), ssl.create_default_context(), server_hostname="x"
        )
        with trio.fail_after(20), pytest.raises(trio.BrokenResourceError) as raised:
            await stream.do_handshake()
        await trio.aclose_forcefully(stream)
    assert isinstance(raised.value.__cause__, ssl.SSLError)
    assert raised.value.__cause__.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
    assert "TLS arrived on the plaintext port" in caplog.text
