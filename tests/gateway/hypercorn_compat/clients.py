"""Clients that send one thing and record the reaction, as raw bytes, in virtual time."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.gateway.hypercorn_compat.in_process import FOR_EVER
from tests.support.frames import parse
from tests.support.serving import LOOPBACK

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = "Sec-WebSocket-Version: 13"
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", KEY, VERSION)
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")


def get(*fields: str, path: str = "/", version: str = "1.1") -> bytes:
    """A GET request."""
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: gateway.test", *fields, "", ""]).encode("latin-1")


@asynccontextmanager
async def connected(port: int, *, buffer: int | None = None) -> AsyncIterator[trio.SocketStream]:
    """A connection, for which the kernel keeps so many bytes, or megabytes."""
    plain = trio.socket.socket()
    if buffer is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    await plain.connect((LOOPBACK, port))
    async with trio.SocketStream(plain) as stream:
        yield stream


async def heard(stream: trio.SocketStream, wanted: bytes = b"", seconds: float = FOR_EVER) -> tuple[bytes, bool]:
    """What comes until the server closes, or what is wanted is there, or for so long; and whether it has closed."""
    data, closed = b"", False
    with trio.move_on_after(seconds):
        try:
            while not closed and not (wanted and wanted in data):
                received = await stream.receive_some(65_536)
                data += received
                closed = not received
        except trio.BrokenResourceError:
            closed = True
    return data, closed


async def answered(port: int, request: bytes) -> tuple[bytes, bool]:
    """What one request is answered with, and whether the server closes afterwards."""
    async with connected(port) as stream:
        await stream.send_all(request)
        return await heard(stream)


async def upgraded(stream: trio.SocketStream, *fields: str, path: str = "/") -> str:
    """Make the stream one of a WebSocket; gives the head of the response."""
    await stream.send_all(get(*UPGRADE, *fields, path=path))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await stream.receive_some(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return head.decode("latin-1")


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Opcode and payload of each of a server's frames."""
    found = []
    while (parsed := parse(data)) is not None:
        opcode, payload, data = parsed
        found.append((opcode, payload))
    return found
