"""A WebSocket client on a stream of bytes: HTTP/1.1's upgrade, or a tunnel through HTTP/2 (RFC 6455, RFC 8441)."""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from echo.close_codes import ABNORMAL, NORMAL
from echo.probe.http1 import Headers, HttpAnswer, exchange
from echo.probe.http2 import Http2, Stream
from echo.probe.line import LOST, READ_SIZE, Bytes

REST: Final = 1.0  # Seconds to wait for the body of a refusal.
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


class RefusedError(Exception):
    """The answer to the handshake is not a WebSocket."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__(f"the answer was HTTP {answer.status}")
        self.answer = answer


@dataclass(frozen=True)
class Closed:
    """The end of a WebSocket: its close frame, or `ABNORMAL` and a description of how it ended."""

    at: float
    code: int
    reason: str


class WebSocket:
    """An open WebSocket. One task may send while another receives.

    Attributes:
        closed: How it ended; None while it is open.
        pongs: When replies to our pings came, with their payloads.
        pings: When the other side pinged.
        deflated: Whether permessage-deflate was agreed on.
    """

    def __init__(self, stream: Bytes, rest: bytes = b"", deflate: PerMessageDeflate | None = None) -> None:
        self.closed: Closed | None = None
        self.pongs: list[tuple[float, bytes]] = []
        self.pings: list[float] = []
        self.deflated = deflate is not None
        self._stream = stream
        self._protocol = Connection(ConnectionType.CLIENT, [deflate] if deflate else [], rest)
        self._parts: list[str] | list[bytes] = []
        self._ready: list[str | bytes] = []
        self._sending = trio.Lock()
        self._fresh = True

    async def send(self, message: str | bytes, *, finished: bool = True) -> bool:
        """Send a message, or a fragment of one; returns whether the socket was open."""
        if isinstance(message, str):
            return await self._send(TextMessage(message, message_finished=finished))
        return await self._send(BytesMessage(message, message_finished=finished))

    async def ping(self, payload: bytes = b"") -> bool:
        """Send a ping; returns whether the socket was open."""
        return await self._send(Ping(payload))

    async def close(self, code: int = NORMAL, reason: str = "") -> bool:
        """Send a close frame; `receive` then returns the other side's."""
        return await self._send(CloseConnection(code, reason))

    async def receive(self) -> str | bytes | Closed:
        """The next message, assembled from its fragments, or the end."""
        while not self._ready:
            if self.closed is not None:
                return self.closed
            try:
                if not self._fresh:
                    data = await self._stream.receive_some(READ_SIZE)
                    if not data:
                        self._end(ABNORMAL, "the connection was closed without a close frame")
                        continue
                    self._protocol.receive_data(bytes(data))
                self._fresh = False
                for event in self._protocol.events():
                    await self._on_event(event)
            except LOST:
                self._end(ABNORMAL, "the connection was reset without a close frame")
            except RemoteProtocolError as error:
                self._end(ABNORMAL, f"what came is not a valid WebSocket frame ({error})")
        return self._ready.pop(0)

    async def aclose(self) -> None:
        """Close the connection, without a close frame if none was sent."""
        await self._stream.aclose()

    def _end(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = Closed(trio.current_time(), code, reason)

    async def _on_event(self, event: object) -> None:
        if isinstance(event, Message):
            self._parts.append(event.data)
            if event.message_finished:
                text = isinstance(event, TextMessage)
                self._ready.append("".join(self._parts) if text else b"".join(map(bytes, self._parts)))  # type: ignore[arg-type]
                self._parts = []
        elif isinstance(event, Ping):
            self.pings.append(trio.current_time())
            await self._send(event.response())
        elif isinstance(event, Pong):
            self.pongs.append((trio.current_time(), bytes(event.payload)))
        elif isinstance(event, CloseConnection):
            await self._send(event.response())
            self._end(int(event.code), event.reason or "")

    async def _send(self, event: TextMessage | BytesMessage | Ping | Pong | CloseConnection) -> bool:
        try:
            async with self._sending:
                await self._stream.send_all(self._protocol.send(event))
        except (LocalProtocolError, *LOST):
            return False
        return True


async def upgrade(stream: Bytes, host: str, target: str, headers: Headers = (), *, deflate: bool = False) -> WebSocket:
    """Open a WebSocket by HTTP/1.1's upgrade.

    Args:
        stream: A fresh connection, which the WebSocket owns from now on.
        host: The ``Host`` header.
        target: Path and query.
        headers: Further headers to send.
        deflate: Whether to offer permessage-deflate.

    Raises:
        RefusedError: The answer is not an upgrade.
        UnreachableError: No answer came.
    """
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    extension = PerMessageDeflate()
    asked = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", key)]
    answer = await exchange(stream, host, target, [*asked, *_common(extension, deflate=deflate), *headers])
    expected = base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()
    if answer.status != 101 or answer.header("sec-websocket-accept") != expected:
        raise RefusedError(answer)
    return WebSocket(stream, answer.rest, _agreed(extension, answer.header("sec-websocket-extensions")))


async def tunnel(connection: Http2, target: str, headers: Headers = (), *, deflate: bool = False) -> WebSocket:
    """Open a WebSocket by RFC 8441 on a connection that `tunnels`.

    Raises:
        RefusedError: The answer is not a WebSocket; status 0 if no answer came.
    """
    extension = PerMessageDeflate()
    asked = [
        *((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", connection.scheme)),
        *((":path", target), (":authority", connection.authority)),
        *((name.lower(), value) for name, value in [*_common(extension, deflate=deflate), *headers]),
    ]
    stream = connection.open([(name.encode(), value.encode()) for name, value in asked])
    await connection.until(lambda: stream.heads or stream.over)
    fields = stream.fields
    status = int(fields.get(":status", "0"))
    if status != 200:
        with trio.move_on_after(REST):
            await stream.until_over()
    answer = HttpAnswer(status, list(fields.items()), bytes(stream.data))
    if status != 200:
        raise RefusedError(answer)
    return WebSocket(_Tunnel(stream), deflate=_agreed(extension, answer.header("sec-websocket-extensions")))


class _Tunnel:
    """An HTTP/2 stream as a byte stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes) -> None:
        if not await self._stream.send(data):
            raise trio.BrokenResourceError("the stream is over")

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        stream = self._stream
        alive = await stream.connection.until(lambda: stream.data or stream.over)
        if not stream.data and (stream.reset is not None or not alive):
            raise trio.BrokenResourceError("the stream was reset")
        data = bytes(stream.data[:max_bytes])
        del stream.data[: len(data)]
        return data

    async def aclose(self) -> None:
        if not self._stream.over:
            self._stream.cancel()
        await trio.lowlevel.checkpoint()


def _common(extension: PerMessageDeflate, *, deflate: bool) -> Sequence[tuple[str, str]]:
    offered = extension.offer() if deflate else False
    value = f"{extension.name}; {offered}" if isinstance(offered, str) and offered else extension.name
    extensions = [("Sec-WebSocket-Extensions", value)] if deflate else []
    return [("Sec-WebSocket-Version", "13"), *extensions]


def _agreed(extension: PerMessageDeflate, answer: str) -> PerMessageDeflate | None:
    if extension.name not in answer:
        return None
    extension.finalize(answer)
    return extension
