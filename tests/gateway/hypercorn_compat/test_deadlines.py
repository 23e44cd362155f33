"""A connection has a deadline in every state: no client can keep one open forever by doing nothing."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from hyperframe.frame import DataFrame

from echo.gateway.hypercorn_compat import CLOSE_TIMEOUT, PATIENCE, REQUEST_TIMEOUT, install
from echo.gateway.server import TLS_TIMEOUT
from tests.gateway.hypercorn_compat.clients import H2C, UPGRADE, connected, get, heard
from tests.gateway.hypercorn_compat.in_process import (
    Receive,
    Scope,
    Send,
    as_quart_does,
    hello,
    send_body,
    serving,
    until_left,
)
from tests.support.frames import TEXT, frame
from tests.support.gateway import running_gateway
from tests.support.http2_frames import PREFACE, window_update
from tests.support.quiet_clock import QuietClock, quiet
from tests.support.raw import SETTINGS, SETTINGS_ACK, RawConnection, raw_client
from tests.support.streams import HELLO, Patient
from tests.support.tls import Certificates

pytestmark = pytest.mark.usefixtures("nothing_left")

KEPT = 620.0  # HTTP_MAX_CONNECTION_IDLE.
SOON = 1.0

BIDIRECTIONAL = "/ws/stream/bidirectional"
REQUEST = get(path="/healthz")
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/healthz")]
POST = [(":method", "POST"), *GET[1:]]
CONNECT = [(":method", "CONNECT"), (":authority", "x")]
WEBSOCKET = [*CONNECT, (":protocol", "websocket"), (":scheme", "http"), ("sec-websocket-version", "13")]
BEGIN = PREFACE + SETTINGS + SETTINGS_ACK

Begin = Callable[[trio.SocketStream], Awaitable[None]]


def head(fields: list[tuple[str, str]], *, end: bool = False) -> bytes:
    return RawConnection(trio.testing.memory_stream_pair()[0]).head(1, fields, end=end)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        pytest.param(b"", REQUEST_TIMEOUT, id="nothing"),
        pytest.param(REQUEST[:-2], REQUEST_TIMEOUT, id="half a head"),
        pytest.param(REQUEST + REQUEST[:-2], REQUEST_TIMEOUT, id="half a head after a request"),
        pytest.param(REQUEST, KEPT, id="a request and nothing more"),
        pytest.param(get("Content-Length: 5", path="/healthz"), SOON, id="no body though announced"),
        pytest.param(get("Content-Length: 5", path="/healthz") + b"x", SOON, id="half a body"),
        pytest.param(get("Transfer-Encoding: chunked", path="/healthz") + b"5\r\nx", SOON, id="half a chunk"),
        pytest.param(REQUEST.replace(b"GET", b"POST", 1), KEPT, id="a request that is refused"),
        pytest.param(b"nonsense\r\n\r\n", SOON, id="no request"),
        pytest.param(get(*UPGRADE[:3], path=BIDIRECTIONAL), SOON, id="a refused handshake"),
        pytest.param(get(*UPGRADE, path="/nothing"), SOON, id="a handshake for no route"),
        pytest.param(get(*UPGRADE, path=BIDIRECTIONAL), PATIENCE, id="a silent WebSocket"),
        pytest.param(get(*UPGRADE, path=BIDIRECTIONAL) + b"\x81\xfe\x10", PATIENCE, id="half a frame"),
        pytest.param(get(*UPGRADE, path="/ws/stream/server"), PATIENCE, id="a WebSocket without its message"),
        pytest.param(get(*H2C, path="/healthz"), KEPT, id="an upgrade and no preface"),
        pytest.param(PREFACE, REQUEST_TIMEOUT, id="a preface and no settings"),
        pytest.param(BEGIN, REQUEST_TIMEOUT, id="no stream"),
        pytest.param(BEGIN + head(GET)[:-1], REQUEST_TIMEOUT, id="half a frame of HTTP/2"),
        pytest.param(BEGIN + head(GET, end=True), KEPT, id="a request over HTTP/2"),
        pytest.param(BEGIN + head(POST), KEPT, id="no body over HTTP/2"),
        pytest.param(BEGIN + head(CONNECT), REQUEST_TIMEOUT, id="plain CONNECT"),
    ],
)
async def test_a_client_that_does_nothing_more_is_closed_on(sent: bytes, seconds: float, clock: QuietClock) -> None:
    async with running_gateway() as gateway, connected(gateway.port) as stream:
        if sent:
            await stream.send_all(sent)
        _, closed = await heard(stream)
        assert closed
        assert trio.current_time() < seconds + SOON


async def test_a_header_block_that_never_ends_is_not_waited_for(clock: QuietClock) -> None:
    block = bytearray(head(GET))
    block[4] &= ~4  # END_HEADERS
    async with running_gateway() as gateway, connected(gateway.port) as stream:
        await stream.send_all(BEGIN + block)
        assert (await heard(stream))[1]
        assert trio.current_time() < REQUEST_TIMEOUT + SOON


async def test_a_tls_handshake_that_never_comes_is_not_waited_for(
    clock: QuietClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cert, key = Certificates(tmp_path).server
    async with running_gateway(HTTP_CERT=cert, HTTP_KEY=key) as gateway, connected(gateway.port) as stream:
        await stream.send_all(b"\x16\x03\x01")
        assert (await heard(stream))[1]
        assert trio.current_time() < TLS_TIMEOUT + SOON
    assert not [record for record in caplog.records if record.levelname != "INFO"]


@pytest.mark.parametrize("sent", [b"", REQUEST[:-2], REQUEST, get(*UPGRADE, path=BIDIRECTIONAL)])
async def test_a_client_that_has_ended_its_side_is_not_waited_for(sent: bytes, clock: QuietClock) -> None:
    async with running_gateway([Patient()]) as gateway, connected(gateway.port) as stream:
        if sent:
            await stream.send_all(sent)
        await stream.send_eof()
        assert (await heard(stream))[1]
        assert trio.current_time() < CLOSE_TIMEOUT + SOON


async def test_an_application_that_knows_its_client_has_left_may_take_its_time(clock: QuietClock) -> None:
    done = trio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await until_left(receive)
        await trio.sleep(10 * CLOSE_TIMEOUT)
        done.set()

    install()
    async with serving(app) as running:
        async with connected(running.port) as stream:
            await stream.send_all(REQUEST)
            await quiet()
        with trio.fail_after(20 * CLOSE_TIMEOUT):
            await done.wait()


async def test_a_connection_takes_as_many_requests_as_hypercorn_is_told(clock: QuietClock) -> None:
    install()
    async with serving(hello, keep_alive_max_requests=2) as running, connected(running.port) as stream:
        await stream.send_all(REQUEST * 3)
        data, closed = await heard(stream)
    first, second = data.split(b"hello")[:-1]
    assert closed
    assert b"connection: close" not in first.lower()
    assert b"connection: close" in second.lower()


async def endless(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
    while True:
        await send_body(send, bytes(65_536))
        await trio.lowlevel.checkpoint()


async def test_a_response_that_is_never_read_ends(clock: QuietClock) -> None:
    install()
    async with serving(as_quart_does(endless)) as running, connected(running.port, buffer=4096) as stream:
        await stream.send_all(get())
        await trio.sleep(PATIENCE + SOON)
        data, closed = await heard(stream, seconds=SOON)
        assert data
        assert closed


async def test_a_stream_of_http2_whose_window_stays_shut_is_reset_and_no_other(clock: QuietClock) -> None:
    service = Patient()
    begin = BEGIN + window_update(0, 1_000_000)  # The connection's window is wide open.
    async with running_gateway([service]) as gateway, raw_client(gateway.port, begin=begin) as client:
        for stream_id, path in ((1, "/ws/stream/server"), (3, BIDIRECTIONAL)):
            await client.send(client.head(stream_id, [(":path", path), *WEBSOCKET]))
        await client.until(lambda: client.streams.keys() >= {1, 3})
        await client.send(DataFrame(1, frame(TEXT, HELLO.encode())))
        await client.until(lambda: len(client.streams[1].data) == 65_535)
        for number in range(1, 10):  # Signs of life of the connection.
            await trio.sleep(PATIENCE / 4)
            await client.send(DataFrame(3, frame(TEXT, HELLO.encode())))
            await quiet()
            assert client.streams[3].data.count(b'"response":"hi"') == number
        assert client.streams[1].reset is not None
        assert not client.streams[3].over
        assert service.cancelled == 1
