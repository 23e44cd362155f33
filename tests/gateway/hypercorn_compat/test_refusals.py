"""Handshakes that are refused: the client learns why, and nothing is left of the connection."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from echo.gateway.hypercorn_compat import CLOSE_GRACE, install
from tests.gateway.hypercorn_compat.clients import KEY, UPGRADE, VERSION, answered, connected, get, heard
from tests.gateway.hypercorn_compat.in_process import Receive, Scope, Send, send_close, serving
from tests.support.gateway import running_gateway
from tests.support.http2 import open_http2
from tests.support.leaks import settles
from tests.support.quiet_clock import QuietClock

pytestmark = pytest.mark.usefixtures("nothing_left")

PATH = "/ws/stream/bidirectional"
MANY = 50


def handshake(*fields: str) -> bytes:
    return get(*UPGRADE[:2], *fields, path=PATH)


@pytest.mark.parametrize(
    ("request_", "status", "why"),
    [
        pytest.param(handshake(KEY, "Sec-WebSocket-Version: 8"), 426, b"version 13", id="version 8"),
        pytest.param(handshake(KEY), 426, b"version 13", id="no version"),
        pytest.param(handshake(KEY, VERSION, VERSION), 426, b"version 13", id="two versions"),
        pytest.param(handshake(VERSION), 400, b"Sec-WebSocket-Key", id="no key"),
        pytest.param(handshake(KEY, KEY, VERSION), 400, b"Sec-WebSocket-Key", id="two keys"),
        pytest.param(handshake("Sec-WebSocket-Key: dG9vIHNob3J0", VERSION), 400, b"Sec-WebSocket-Key", id="short key"),
        pytest.param(handshake("Sec-WebSocket-Key: !", VERSION), 400, b"Sec-WebSocket-Key", id="no base64"),
        pytest.param(get(*UPGRADE, path=PATH, version="1.0"), 426, b"WebSocket", id="HTTP/1.0"),
        pytest.param(get(*UPGRADE, "Origin: http://evil.test", path=PATH), 403, b"origin", id="origin"),
    ],
)
async def test_the_answer_says_why_and_the_server_closes(request_: bytes, status: int, why: bytes) -> None:
    async with running_gateway() as gateway:
        with trio.fail_after(20):
            data, closed = await answered(gateway.port, request_)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert why in body
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert (b"sec-websocket-version: 13" in head.lower()) == (status == 426 and b"1.0" not in request_)
    assert closed


async def test_over_http2_the_answer_says_why_and_the_connection_ends_once_it_is_idle(clock: QuietClock) -> None:
    async with running_gateway() as gateway, open_http2(gateway.port) as http2:
        head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", PATH)]
        stream_id = await http2.request([*head, (":authority", "x"), ("sec-websocket-version", "8")], end=False)
        with pytest.raises(EOFError):
            while True:
                await http2.receive()
        assert http2.heads[stream_id][":status"] == "426"
        assert http2.heads[stream_id]["sec-websocket-version"] == "13"
        assert b"version 13" in http2.data[stream_id]
        assert trio.current_time() < 10


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors as Linux tells them")
async def test_clients_that_keep_their_end_open_cost_nothing_and_hold_up_nobody(clock: QuietClock) -> None:
    async with AsyncExitStack() as stack, running_gateway(SHUTDOWN_GRACE="3s") as gateway:
        await answered(gateway.port, handshake(KEY))
        before = descriptors()
        for _ in range(MANY):
            stream = await stack.enter_async_context(connected(gateway.port))
            await stream.send_all(handshake(KEY))
            assert b" 426 " in (await heard(stream))[0]
        await settles(lambda: descriptors() - before, MANY, "descriptors, of which those are the clients'")
        stopped_at = trio.current_time()
        gateway.stop.set()
        await gateway.stopped.wait()
        assert trio.current_time() - stopped_at <= 3 + 2 * CLOSE_GRACE


async def test_an_application_that_closes_instead_of_accepting_refuses_with_403() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send_close(send)

    install()
    async with serving(app) as running:
        data, closed = await answered(running.port, get(*UPGRADE))
    assert data.startswith(b"HTTP/1.1 403 ")
    assert closed
