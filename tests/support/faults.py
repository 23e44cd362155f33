"""Inputs from a client that would end Hypercorn's whole process if nothing prevented it."""

from collections.abc import Awaitable, Callable

import h2.config
import h2.connection
import trio

UPGRADE = (
    b"GET /ws/stream/bidirectional HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HELLO = b'{"stream_id":"a","message":"hi"}'
FRAME = bytes([0x81, 0x80 | len(HELLO), 0, 0, 0, 0]) + HELLO

Headers = list[tuple[str, str]]
POST: Headers = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/healthz")]
CONNECT: Headers = [(":method", "CONNECT"), (":authority", "x")]

Input = Callable[[trio.SocketStream], Awaitable[None]]


async def read_until(stream: trio.SocketStream, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        received = await stream.receive_some(65_536)
        if not received:
            break
        data += received
    return data


async def upgrade_with_a_byte_behind(stream: trio.SocketStream) -> None:
    await stream.send_all(UPGRADE + b"\x81")


async def upgrade_with_a_frame_behind(stream: trio.SocketStream) -> None:
    await stream.send_all(UPGRADE + FRAME)


async def upgrade_with_garbage_behind(stream: trio.SocketStream) -> None:
    await stream.send_all(UPGRADE + b"\xff" * 100_000)


def http2() -> h2.connection.H2Connection:
    """The client side of HTTP/2 in plain text, which sends what a test tells it to."""
    config = h2.config.H2Configuration(
        client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    return connection


async def data_after_the_response(stream: trio.SocketStream) -> None:
    connection = http2()
    connection.send_headers(1, POST)
    await stream.send_all(connection.data_to_send())
    await read_until(stream, b"UNIMPLEMENTED")
    connection.send_data(1, b"late", end_stream=True)
    await stream.send_all(connection.data_to_send())


async def priority_on_idle_streams(stream: trio.SocketStream) -> None:
    connection = http2()
    for stream_id in range(1, 2_200, 2):
        connection.prioritize(stream_id, weight=1)
    await stream.send_all(connection.data_to_send())


async def connect_without_a_path(stream: trio.SocketStream) -> None:
    connection = http2()
    connection.send_headers(1, CONNECT)
    await stream.send_all(connection.data_to_send())


INPUTS: list[Input] = [
    upgrade_with_a_byte_behind,
    upgrade_with_a_frame_behind,
    upgrade_with_garbage_behind,
    data_after_the_response,
    priority_on_idle_streams,
    connect_without_a_path,
]


async def inflict(port: int, fault: Input) -> None:
    """Send the input, and wait until the gateway has answered in some way and the connection is closed."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        try:
            await fault(stream)
            await stream.send_eof()
            while await stream.receive_some(65_536):
                pass
        except trio.BrokenResourceError:
            pass
