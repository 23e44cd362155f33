"""The contract's WebSocket rows with a browser's own WebSocket, a different client from those of the other tests."""

import json

import pytest

from tests.support.browser import Browser, needs_browser, running_browser
from tests.support.gateway import gateway_to, running_gateway
from tests.support.serving import LOOPBACK

pytestmark = [needs_browser, pytest.mark.usefixtures("nothing_left")]

HI = '{"stream_id":"a","message":"hi"}'
HALF_CLOSE = '{"half_close":true}'
INVALID = '{"stream_id":"","sequence_number":0,"timestamp":0,"response":"invalid message format","success":false}'

# Sends all messages at once; gives what came until the socket closed, and how it closed. Timestamps are made 0.
CONVERSE = """
new Promise((done) => {
  const socket = new WebSocket(URL);
  const heard = [];
  socket.onopen = () => MESSAGES.forEach(
    ([kind, text]) => socket.send(kind === "binary" ? new TextEncoder().encode(text) : text),
  );
  socket.onmessage = ({ data }) => heard.push(
    typeof data === "string" ? data.replace(/"timestamp":[1-9][0-9]{18},/, '"timestamp":0,') : "not text",
  );
  socket.onclose = ({ code, reason }) => done([...heard, [code, reason]]);
})
"""


async def converse(page: Browser, port: int, stream: str, *messages: str | bytes) -> object:
    """What came for these messages, and at last the close code and reason."""
    said = [("text", text) if isinstance(text, str) else ("binary", text.decode()) for text in messages]
    url = json.dumps(f"ws://{LOOPBACK}:{port}/ws/stream/{stream}")
    return await page.evaluate(CONVERSE.replace("URL", url).replace("MESSAGES", json.dumps(said)))


def echoed(number: int, text: str) -> str:
    return (
        f'{{"stream_id":"a","sequence_number":{number},"timestamp":0,"response":"from server: {text}","success":true}}'
    )


async def test_the_streams_and_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echo.services.streaming.INTERVAL", 0.01)
    five = [echoed(number, f"hi (echo {number}/5)") for number in range(1, 6)]
    ok, failed = [1000, ""], [1011, "INVALID_ARGUMENT: stream_id is required"]
    async with running_gateway() as gateway, running_browser() as page:
        # Not the console: its policy is not to be in the way.
        await page.open(f"http://{LOOPBACK}:{gateway.port}/healthz")
        for stream, messages, wanted in (
            ("bidirectional", [HI, HI, HALF_CLOSE], [echoed(1, "hi"), echoed(2, "hi"), ok]),
            ("bidirectional", [HI.encode(), ""], [echoed(1, "hi"), ok]),
            ("bidirectional", ["{", HI, b""], [INVALID, echoed(1, "hi"), ok]),
            ("bidirectional", ["{}"], [failed]),
            ("server", [HI], [*five, ok]),
            ("server", ["[]"], [INVALID, [1007, "invalid message format"]]),
            ("server", ["{}"], [failed]),
            ("client", [HI, HI, HI, ""], [echoed(3, "received 3 messages"), ok]),
            ("client", [HALF_CLOSE.encode()], [echoed(0, "received 0 messages").replace('"a"', '""'), ok]),
            ("client", [HI, "{}"], [failed]),
        ):
            assert await converse(page, gateway.port, stream, *messages) == wanted, (stream, messages)


async def test_a_message_over_the_limit_and_a_server_that_is_not_there() -> None:
    async with running_gateway(GRPC_MAX_MESSAGE_SIZE="1KiB") as gateway, running_browser() as page:
        await page.open(f"http://{LOOPBACK}:{gateway.port}/healthz")
        ended = await converse(page, gateway.port, "bidirectional", HI.replace("hi", "x" * 100_000))
        assert ended == [[1009, "message too big"]]
    async with gateway_to(1) as gateway, running_browser() as page:
        await page.open(f"http://{LOOPBACK}:{gateway.port}/healthz")
        assert await converse(page, gateway.port, "client", HI) == [[1011, "gRPC connection failed"]]


async def test_another_page_s_socket_is_refused_unless_its_origin_is_listed() -> None:
    async with gateway_to(1) as elsewhere, running_browser() as page:
        origin = f"http://{LOOPBACK}:{elsewhere.port}"
        await page.open(f"{origin}/healthz")
        async with running_gateway() as strict, running_gateway(HTTP_ALLOWED_ORIGINS=origin) as lenient:
            assert await converse(page, strict.port, "bidirectional", HI, "") == [[1006, ""]]
            assert await converse(page, lenient.port, "bidirectional", HI, "") == [echoed(1, "hi"), [1000, ""]]
        assert any("403" in line for line in await page.said())
