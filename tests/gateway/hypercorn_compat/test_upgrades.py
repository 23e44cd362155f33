"""Which protocol answers an HTTP/1.1 request."""

import h2.connection
import h2.events
import pytest
import trio

from tests.gateway.hypercorn_compat.clients import H2C, KEY, UPGRADE, VERSION, connected, get, heard
from tests.support.faults import HELLO
from tests.support.frames import TEXT, frame
from tests.support.gateway import running_gateway

pytestmark = pytest.mark.usefixtures("nothing_left")

SETTINGS = H2C[2]


@pytest.mark.parametrize(
    "fields",
    [
        UPGRADE[:2],
        ("Connection: Upgrade", "Connection: keep-alive", "Upgrade: websocket"),
        ("Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"),
        ("Connection: keep-alive, Upgrade", "Upgrade: websocket"),
        ("Connection: Upgrade", "Upgrade: h2c, websocket"),
        ("Connection: Upgrade", "Upgrade: websocket, h2c"),
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c, websocket", SETTINGS),
        ("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"),
        ("Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"),
        ("cONNECTION: uPGRADE", "uPGRADE: wEBsOCKET"),
        ("Connection: ,upgrade ,", "Upgrade: ,websocket\t,"),
    ],
)
async def test_a_websocket_is_had_however_it_is_asked_for(fields: tuple[str, ...]) -> None:
    async with running_gateway() as gateway, connected(gateway.port) as stream:
        await stream.send_all(get(*fields, KEY, VERSION, path="/ws/stream/bidirectional") + frame(TEXT, HELLO))
        with trio.fail_after(20):
            data, _ = await heard(stream, b'"success":true')
        assert data.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"upgrade: websocket\r\n" in data.lower()
        assert b'"response":"from server: hi"' in data


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        pytest.param(H2C, "1.0", id="HTTP/1.0"),
        pytest.param(H2C[:2], "1.1", id="no settings"),
        pytest.param((*H2C, SETTINGS), "1.1", id="two settings"),
        pytest.param((*H2C[:2], "HTTP2-Settings: !!!!"), "1.1", id="settings in no base64"),
        pytest.param((*H2C[:2], "HTTP2-Settings: AAI"), "1.1", id="cut settings"),
        pytest.param((*H2C[:2], "HTTP2-Settings: AAIAAAAH"), "1.1", id="settings that may not be"),
        pytest.param(("Upgrade: h2c", SETTINGS), "1.1", id="no Connection"),
        pytest.param(("Connection: HTTP2-Settings", "Upgrade: h2c", SETTINGS), "1.1", id="another Connection"),
        pytest.param((*H2C, "Content-Length: 0"), "1.1", id="a body"),
        pytest.param(("Connection: Upgrade", "Upgrade: h3"), "1.1", id="something else"),
        pytest.param(UPGRADE[1:], "1.1", id="WebSocket without Connection"),
    ],
)
async def test_what_is_no_upgrade_is_answered_as_a_plain_request(fields: tuple[str, ...], version: str) -> None:
    async with running_gateway() as gateway, connected(gateway.port) as stream:
        await stream.send_all(get(*fields, path="/healthz", version=version))
        with trio.fail_after(20):
            data, _ = await heard(stream, b"Hello!")
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        assert data.endswith(b"Hello!")


async def test_an_upgrade_to_http2_is_made_and_serves_on() -> None:
    client = h2.connection.H2Connection()
    settings = (client.initiate_upgrade_connection() or b"").decode()
    async with running_gateway() as gateway, connected(gateway.port) as stream:
        await stream.send_all(get(*H2C[:2], f"HTTP2-Settings: {settings}", path="/healthz"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await stream.receive_some(1)
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        bodies = {1: b"", 3: b""}
        client.send_headers(
            3, [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/grpc/hi")], end_stream=True
        )
        ended: set[int] = set()
        with trio.fail_after(20):
            while ended != {1, 3}:
                await stream.send_all(client.data_to_send())
                for event in client.receive_data(bytes(await stream.receive_some(65_536))):
                    if isinstance(event, h2.events.DataReceived) and event.stream_id:
                        bodies[event.stream_id] += event.data or b""
                    if isinstance(event, h2.events.StreamEnded) and event.stream_id:
                        ended.add(event.stream_id)
        assert bodies[1] == b"Hello!"
        assert bodies[3].endswith(b":from server:hi:success:true")
