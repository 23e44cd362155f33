"""TLS configured by Hypercorn's own flags or file: https, wss, and WebSockets over HTTP/2."""

import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.support.http2 import open_http2, websocket_over
from tests.support.hypercorn import Hypercorn, hypercorn
from tests.support.process import PATIENCE
from tests.support.serving import LOOPBACK
from tests.support.tls import Certificates
from tests.support.websocket import Closed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_left", "patience")]

T = TypeVar("T")
Start = Callable[[], AbstractAsyncContextManager[Hypercorn]]

BIDIRECTIONAL = "/ws/stream/bidirectional"
HELLO = '{"stream_id":"a","message":"hi"}'
ANSWER = '"response":"from server: hi"'
SUMMARY = '"response":"from server: received 1 messages"'


@pytest.fixture
async def patience() -> AsyncIterator[None]:
    with trio.fail_after(2 * PATIENCE):
        yield


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture(params=["flags", "file"])
def start(request: pytest.FixtureRequest, certificates: Certificates, tmp_path: Path) -> Start:
    """Starts Hypercorn with TLS, as its documentation has it."""
    cert, key = certificates.server
    if request.param == "flags":
        return lambda: hypercorn("--certfile", cert, "--keyfile", key)
    file = tmp_path / "hypercorn.toml"
    file.write_text(f'bind = "{LOOPBACK}:0"\nworker_class = "trio"\ncertfile = "{cert}"\nkeyfile = "{key}"\n')
    return lambda: hypercorn("--config", str(file))


async def in_thread(function: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(function)


def trusting(certificates: Certificates) -> ssl.SSLContext:
    """What a browser has that knows the authority."""
    return ssl.create_default_context(cafile=certificates.ca)


def get(port: int, target: str, context: ssl.SSLContext) -> tuple[int, int, str]:
    """HTTP's version as an integer, the status and the body."""
    connection = HTTPSConnection(LOOPBACK, port, context=context, timeout=PATIENCE)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        return response.version, response.status, response.read().decode()
    finally:
        connection.close()


def wss(port: int, target: str, context: ssl.SSLContext, origin: str = "") -> ClientConnection:
    own = Origin(origin or f"https://{LOOPBACK}:{port}")
    return connect(f"wss://{LOOPBACK}:{port}{target}", ssl=context, origin=own)


async def test_https(start: Start, certificates: Certificates) -> None:
    context = trusting(certificates)
    async with start() as running:
        version, status, body = await in_thread(lambda: get(running.port, "/grpc/a%2Fb", context))
        assert (version, status) == (11, 200)
        assert body.endswith(":from server:a/b:success:true")
        async with open_http2(running.port, trusting(certificates)) as http2:
            status, data = await http2.get("/grpc/a%2Fb")
            assert status == 200
            assert data.endswith(b":from server:a/b:success:true")
            assert await http2.get("/readyz") == (200, b"Hello!")


async def test_wss_over_http_1(start: Start, certificates: Certificates) -> None:
    context = trusting(certificates)

    def talk(port: int) -> None:
        with wss(port, BIDIRECTIONAL, context) as client:
            for number in (1, 2, 3):
                client.send(HELLO)
                message = str(client.recv(timeout=PATIENCE))
                assert ANSWER in message
                assert f'"sequence_number":{number},' in message
            client.send("")
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1000
        with wss(port, "/ws/stream/client", context) as client:
            client.send(HELLO)
            client.send("")
            assert SUMMARY in str(client.recv(timeout=PATIENCE))
        with pytest.raises(InvalidStatus, match="403"):
            wss(port, BIDIRECTIONAL, context, f"http://{LOOPBACK}:{port}")  # Another scheme is another origin.

    async with start() as running:
        await in_thread(lambda: talk(running.port))


async def test_wss_over_http_2(start: Start, certificates: Certificates) -> None:
    async with start() as running, open_http2(running.port, trusting(certificates)) as http2:
        sockets = [await websocket_over(http2, BIDIRECTIONAL, [("origin", "https://gateway.test")]) for _ in range(3)]
        for number in (1, 2):
            for socket in sockets:
                assert socket.status == 200
                await socket.send(HELLO)
                message = str(await socket.receive())
                assert ANSWER in message
                assert f'"sequence_number":{number},' in message
        for socket in sockets:
            await socket.send("")
            assert await socket.receive() == Closed(1000)
        summing = await websocket_over(http2, "/ws/stream/client")
        await summing.send(HELLO)
        await summing.send("")
        assert SUMMARY in str(await summing.receive())
        assert await summing.receive() == Closed(1000)
        refused = await websocket_over(http2, BIDIRECTIONAL, [("origin", "http://gateway.test")])
        assert refused.status == 403
        assert (await http2.get("/healthz"))[0] == 200


async def test_a_client_that_negotiates_nothing_speaks_http_1(start: Start, certificates: Certificates) -> None:
    async with start() as running:
        raw = await trio.open_tcp_stream(LOOPBACK, running.port)
        async with trio.SSLStream(
            raw, trusting(certificates), server_hostname=LOOPBACK, https_compatible=True
        ) as stream:
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join([data async for data in stream])
            assert stream.selected_alpn_protocol() is None
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\nHello!")


async def test_sigterm_closes_with_1001_over_tls_too(start: Start, certificates: Certificates) -> None:
    async with start() as running, open_http2(running.port, trusting(certificates)) as http2:
        socket = await websocket_over(http2, BIDIRECTIONAL)
        await socket.send(HELLO)
        assert ANSWER in str(await socket.receive())
        running.process.send_signal(signal.SIGTERM)
        assert await socket.receive() == Closed(1001, "going away")
        with trio.fail_after(PATIENCE):
            assert await running.process.wait() == 0
    assert "Traceback" not in running.log


@asynccontextmanager
async def half_a_handshake(port: int) -> AsyncIterator[trio.SocketStream]:
    """A client that has begun to speak TLS, and stays."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=LOOPBACK)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    hello = outgoing.read()
    async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
        await stream.send_all(hello[: len(hello) // 2])
        yield stream


async def test_clients_that_fail_at_tls_disturb_nobody(certificates: Certificates) -> None:
    cert, key = certificates.server
    async with hypercorn("--certfile", cert, "--keyfile", key) as running:
        port = running.port
        async with open_http2(port, trusting(certificates)) as http2:
            bystander = await websocket_over(http2, BIDIRECTIONAL)

            async def goes_on() -> None:
                await bystander.send(HELLO)
                assert ANSWER in str(await bystander.receive())

            for rubbish in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 1_000, b"\x16\x03\x01\xff\xff", b""):
                async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
                    if rubbish:
                        await stream.send_all(rubbish)
                    await stream.send_eof()
                    try:
                        while await stream.receive_some(1_000):
                            pass
                    except trio.BrokenResourceError:
                        pass
                await goes_on()
            with pytest.raises(ssl.SSLCertVerificationError):  # It does not trust the certificate, and leaves.
                await in_thread(lambda: get(port, "/healthz", ssl.create_default_context()))
            await goes_on()
            async with half_a_handshake(port):
                await goes_on()
                assert (await in_thread(lambda: get(port, "/healthz", trusting(certificates))))[1] == 200
            await goes_on()
    assert "Traceback" not in running.log


async def test_clients_must_show_a_certificate_where_hypercorn_is_told_so(certificates: Certificates) -> None:
    cert, key = certificates.server
    mtls = ["--certfile", cert, "--keyfile", key, "--ca-certs", certificates.ca, "--verify-mode", "CERT_REQUIRED"]
    known, unknown = trusting(certificates), trusting(certificates)
    known.load_cert_chain(*certificates.client)
    unknown.load_cert_chain(*certificates.strange_client)
    async with hypercorn(*mtls) as running:
        port = running.port
        assert (await in_thread(lambda: get(port, "/healthz", known)))[1] == 200
        for context in (unknown, trusting(certificates)):
            with pytest.raises(OSError, match=r"alert|reset|EOF|closed"):
                await in_thread(partial(get, port, "/healthz", context))
        assert (await in_thread(lambda: get(port, "/healthz", known)))[1] == 200
