"""Answers that the gateway gives before a request has ended: a client that is still sending gets to read them."""

import pytest
import trio
import trio.lowlevel

from echo.gateway.hypercorn_compat import CLOSE_TIMEOUT
from tests.gateway.hypercorn_compat.clients import KEY, UPGRADE, get
from tests.support.frames import TEXT, close, frame
from tests.support.gateway import running_gateway
from tests.support.http2 import open_http2
from tests.support.http2_frames import data
from tests.support.quiet_clock import QuietClock, quiet
from tests.support.raw import raw_client
from tests.support.serving import LOOPBACK

pytestmark = pytest.mark.usefixtures("nothing_left")

SIZE = 3_000_000
LENGTH = f"Content-Length: {SIZE}"


def post(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\n{LENGTH}\r\n\r\n".encode()


async def answer(port: int, head: bytes, body: bytes) -> bytes:
    """What a client reads that sends all of its request first. A reset, which may cost it the answer, raises."""
    async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
        for start in range(0, len(head + body), 50_000):
            await stream.send_all((head + body)[start : start + 50_000])
            await trio.lowlevel.checkpoint()
        read = b""
        while data := await stream.receive_some(65_536):
            read += data
        return read


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(b"NONSENSE\r\n\r\n", 400, id="malformed"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 200_000, 431, id="head too large"),
        pytest.param(post("/healthz"), 405, id="another method"),
        pytest.param(post("/nowhere"), 404, id="no route"),
        pytest.param(get(*UPGRADE[:2], KEY, LENGTH, path="/ws/stream/server"), 426, id="refused handshake"),
    ],
)
async def test_it_reaches_a_client_that_is_still_sending(head: bytes, status: int) -> None:
    async with running_gateway() as gateway:
        with trio.fail_after(20):
            read = await answer(gateway.port, head, b"x" * SIZE)
    assert read.startswith(f"HTTP/1.1 {status} ".encode())


RPC = "/com.gopay.echo.Server/GetReply"
NO_ERROR = 0


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        pytest.param("/healthz", [], id="another method"),
        pytest.param("/nowhere", [], id="no route"),
        pytest.param(RPC, [("content-type", "application/json")], id="Connect"),
        pytest.param(RPC, [("content-type", "application/grpc-web")], id="gRPC-Web"),
        pytest.param(RPC, [("content-type", "application/grpc"), ("te", "trailers")], id="gRPC"),
        pytest.param(RPC, [("content-type", "application/grpc")], id="gRPC without trailers"),
    ],
)
async def test_over_http2_it_can_send_all_of_it(path: str, fields: list[tuple[str, str]]) -> None:
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path), *fields]
    async with running_gateway(GRPC_MAX_MESSAGE_SIZE="50KiB") as gateway, open_http2(gateway.port) as http2:
        for _ in range(2):
            stream_id = await http2.request(head, end=False)
            with trio.fail_after(20):
                for _ in range(30):
                    while http2.connection.local_flow_control_window(stream_id) < 16_000:
                        await http2.receive()
                    http2.connection.send_data(stream_id, b"x" * 16_000)
                    await http2.flush()
                await http2.end(stream_id)
                while stream_id not in http2.over:
                    await http2.receive()
            assert http2.heads[stream_id]


@pytest.mark.parametrize("path", ["/healthz", RPC])
async def test_over_http2_one_that_never_ends_is_told_to(path: str, clock: QuietClock) -> None:
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path)]
    head += [("content-type", "application/grpc"), ("te", "trailers")]
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await client.send(client.head(1, head), data(1, b"x" * 1000))
        answer = await client.heard(1)
        assert answer.ended
        await trio.sleep(CLOSE_TIMEOUT + 1)
        await quiet()
        assert answer.reset == NO_ERROR  # RFC 9113 §8.1


async def test_over_http2_a_websocket_that_we_end_is_not_reset() -> None:
    head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "x")]
    head += [(":path", "/ws/stream/server"), ("sec-websocket-version", "13")]
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await client.send(client.head(1, head), data(1, frame(TEXT, b"nonsense")))
        await client.until(lambda: 1 in client.streams and client.streams[1].ended)
        await client.pause()
        await client.send(data(1, close(1007), end=True))
        await client.pause()
        assert client.streams[1].reset is None  # Browsers take that for a failure.
        assert not client.goaways
