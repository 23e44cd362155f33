"""A WebSocket client on trio that does not hide frames: wsproto over a socket."""

import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
import wsproto
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Closed:
    """The server's close code and reason; None if it sent no close frame."""

    code: int | None
    reason: str = ""


@dataclass
class Rejected(Exception):
    """The response to the handshake was not a 101."""

    status: int
    body: bytes
    headers: dict[str, str]


class WebSocket:
    """A connected client."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.headers: dict[str, str] = {}
        self.pings = 0
        self._sending = trio.Lock()
        self._connection = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._text = ""

    async def handshake(self, target: str, headers: Headers) -> None:
        extra = [(name.encode(), value.encode()) for name, value in headers]
        await self._send(Request(host="gateway.test", target=target, extra_headers=extra))
        rejection: Rejected | None = None
        while True:
            for event in self._connection.events():
                match event:
                    case AcceptConnection():
                        self.headers = _decoded(event.extra_headers)
                        return
                    case RejectConnection():
                        rejection = Rejected(event.status_code, b"", _decoded(event.headers))
                        if not event.has_body:
                            raise rejection
                    case RejectData():
                        assert rejection is not None
                        rejection.body += event.data
                        if event.body_finished:
                            raise rejection
            data = await self.stream.receive_some(65_536)
            if not data:
                raise rejection or EOFError
            self._connection.receive_data(data)

    async def send(self, message: str | bytes) -> None:
        await self._send(TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message))

    async def receive(self) -> str | Closed:
        """The next text message, or how the server closed."""
        while True:
            for event in self._connection.events():
                match event:
                    case TextMessage():
                        self._text += event.data
                        if event.message_finished:
                            text, self._text = self._text, ""
                            return text
                    case BytesMessage():
                        raise AssertionError("the gateway sends text frames only")
                    case Ping():
                        self.pings += 1
                        if self._connection.state is ConnectionState.OPEN:
                            await self._send(event.response())
                    case CloseConnection():
                        if self._connection.state is ConnectionState.REMOTE_CLOSING:
                            await self._send(event.response())
                        return Closed(event.code, event.reason or "")
            try:
                data = await self.stream.receive_some(65_536)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                return Closed(None)
            self._connection.receive_data(data)

    async def close(self, code: int = 1000) -> None:
        """Send a close frame, and wait for the server's."""
        await self._send(CloseConnection(code=code))
        while not isinstance(await self.receive(), Closed):
            pass

    def frame(self, event: Event) -> bytes:
        """The bytes to send for an event, to be sent by the caller."""
        return self._connection.send(event)

    async def reset(self) -> None:
        """Vanish: the server gets a TCP reset instead of a FIN."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.stream.aclose()

    async def _send(self, event: Event) -> None:
        async with self._sending:
            await self.stream.send_all(self._connection.send(event))


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in headers}


@asynccontextmanager
async def open_websocket(
    port: int, target: str, headers: Headers = (), *, buffer: int | None = None
) -> AsyncIterator[WebSocket]:
    """A client connected to the loopback. Leaving the block drops the connection without a close frame.

    Args:
        port: The server's port.
        target: The path of the handshake.
        headers: Further headers of the handshake.
        buffer: Bytes that the kernel may buffer for the client before the server has to wait; by default megabytes.
    """
    plain = trio.socket.socket()
    if buffer is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    stream = trio.SocketStream(plain)
    await plain.connect(("127.0.0.1", port))
    async with stream:
        client = WebSocket(stream)
        await client.handshake(target, headers)
        yield client
