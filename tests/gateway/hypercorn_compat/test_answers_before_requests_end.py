"""Answers that the gateway gives before a request has ended: a client that is still sending gets to read them."""

import pytest
import trio
import trio.lowlevel

from tests.gateway.hypercorn_compat.clients import KEY, UPGRADE, get
from tests.support.gateway import running_gateway
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
