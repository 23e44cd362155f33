"""A client for gRPC-Web and Connect that only knows frames: over HTTP/1.1 with h11, over HTTP/2 with h2."""

import base64
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import unquote

import h11
import pytest
import trio

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.wire import encode_message
from tests.support.http2 import HTTP2, open_http2
from tests.support.serving import LOOPBACK

GET_REPLY: Final = "/com.gopay.echo.Server/GetReply"
STREAMING: Final = "/com.gopay.echo.streaming.StreamingServer"
BIDIRECTIONAL: Final = f"{STREAMING}/BidirectionalStream"

HI: Final = b"\x0a\x02hi"  # Message(message="hi")
REPLY: Final = b"\x08\x01\x12\x0efrom server:hi"

WEB: Final = "application/grpc-web+proto"
WEB_TEXT: Final = "application/grpc-web-text+proto"
CONNECT_STREAM: Final = "application/connect+proto"
CONNECT_JSON: Final = "application/connect+json"


class Request(Protocol):
    """A request that is being made."""

    async def send(self, data: bytes) -> None:
        """Send a piece of the body."""

    async def end(self) -> None:
        """End the body."""

    async def head(self) -> tuple[int, dict[str, str]]:
        """Wait for the response's head: its status and headers."""

    async def receive(self) -> bytes | None:
        """The next piece of the response's body; None at its end."""

    async def leave(self) -> None:
        """Reset the stream, or close the connection."""


class OverHTTP1:
    """A request on a connection of its own."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._h11 = h11.Connection(h11.CLIENT)
        self._answer: tuple[int, dict[str, str]] | None = None

    async def begin(self, method: str, path: str, headers: list[tuple[str, str]]) -> None:
        await self._write(h11.Request(method=method, target=path, headers=[("host", "gateway.test"), *headers]))

    async def send(self, data: bytes) -> None:
        await self._write(h11.Data(data=data))

    async def end(self) -> None:
        await self._write(h11.EndOfMessage())

    async def head(self) -> tuple[int, dict[str, str]]:
        while self._answer is None:
            event = await self._next()
            if isinstance(event, h11.Response):
                self._answer = event.status_code, _joined([(n.decode(), v.decode("latin-1")) for n, v in event.headers])
        return self._answer

    async def receive(self) -> bytes | None:
        await self.head()
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def leave(self) -> None:
        await self.stream.aclose()

    async def _write(self, event: Any) -> None:
        data = self._h11.send(event)
        assert data is not None
        await self.stream.send_all(data)

    async def _next(self) -> Any:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(bytes(await self.stream.receive_some(65_536)))
        return event


class OverHTTP2:
    """A request on a connection that may have others."""

    def __init__(self, http2: HTTP2) -> None:
        self.http2 = http2
        self.stream_id = 0

    async def begin(self, method: str, path: str, headers: list[tuple[str, str]]) -> None:
        head = [(":method", method), (":scheme", "http"), (":authority", "gateway.test"), (":path", path)]
        self.stream_id = await self.http2.request([*head, *headers], end=False)

    async def send(self, data: bytes) -> None:
        await self.http2.send(self.stream_id, data)

    async def end(self) -> None:
        await self.http2.end(self.stream_id)

    async def head(self) -> tuple[int, dict[str, str]]:
        while self.stream_id not in self.http2.heads:
            await self.http2.receive()
        head = self.http2.heads[self.stream_id]
        return int(head[":status"]), head

    async def receive(self) -> bytes | None:
        data = self.http2.data[self.stream_id]
        while not data:
            if self.stream_id in self.http2.over:
                return None
            await self.http2.receive()
        piece = bytes(data)
        data.clear()
        return piece

    async def leave(self) -> None:
        await self.http2.reset(self.stream_id)


@asynccontextmanager
async def http1(port: int) -> AsyncIterator[OverHTTP1]:
    async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
        yield OverHTTP1(stream)


@asynccontextmanager
async def http2(port: int) -> AsyncIterator[OverHTTP2]:
    async with open_http2(port) as connection:
        yield OverHTTP2(connection)


Version = Callable[[int], AbstractAsyncContextManager[OverHTTP1 | OverHTTP2]]

EACH_VERSION: Final = pytest.mark.parametrize("version", [http1, http2])


@dataclass
class Response:
    """A whole response.

    Attributes:
        status, headers, body: As HTTP has them.
        messages: The payloads of its frames,
        last: the payload of the one that tells the end,
        compressed: and how many of them are compressed.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    messages: list[bytes] = field(default_factory=list)
    last: bytes | None = None
    compressed: int = 0

    def read_frames(self) -> "Response":
        body = self.body
        if "-text" in self.headers["content-type"]:
            assert len(body) % 4 == 0
            body = b"".join(base64.b64decode(body[at : at + 4]) for at in range(0, len(body), 4))
        while body:
            flag, size = struct.unpack_from(">BI", body)
            payload, body = body[5 : 5 + size], body[5 + size :]
            assert self.last is None, "a frame after the last one"
            assert len(payload) == size
            if flag & 0x82:
                self.last = payload
            else:
                self.compressed += flag
                self.messages.append(payload)
        return self

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def end(self) -> Any:
        """Connect's EndStreamResponse."""
        assert self.last is not None
        return json.loads(self.last)

    @property
    def trailers(self) -> dict[str, str]:
        """gRPC-Web's trailers, from the last frame or, without one, the headers."""
        if self.last is None:
            return self.headers
        assert self.last.endswith(b"\r\n")
        return _joined([_field(line) for line in self.last.decode().split("\r\n")[:-1]])

    @property
    def grpc_status(self) -> tuple[int, str]:
        trailers = self.trailers
        return int(trailers["grpc-status"]), unquote(trailers.get("grpc-message", ""))

    @property
    def replies(self) -> list[StreamResponse]:
        return [StreamResponse.FromString(message) for message in self.messages]


async def call(
    request: OverHTTP1 | OverHTTP2,
    path: str,
    content_type: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
) -> Response:
    """Make a whole request."""
    fields = [("content-type", content_type), *(headers or {}).items()]
    if isinstance(request, OverHTTP1):
        fields.append(("content-length", str(len(body))))
    await request.begin(method, path, fields)
    if body:
        await request.send(body)
    await request.end()
    return await answer_to(request)


async def answer_to(request: OverHTTP1 | OverHTTP2) -> Response:
    """The whole response."""
    status, headers = await request.head()
    body = b""
    while (piece := await request.receive()) is not None:
        body += piece
    return Response(status, headers, body)


async def streamed(
    request: OverHTTP1 | OverHTTP2,
    path: str,
    content_type: str,
    messages: list[bytes],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make a request whose messages are framed."""
    body = b"".join(map(encode_message, messages))
    if "-text" in content_type:
        body = base64.b64encode(body)
    return (await call(request, path, content_type, body, headers)).read_frames()


def message(text: str = "hi", number: int = 0) -> bytes:
    return StreamMessage(stream_id="a", sequence_number=number, message=text).SerializeToString()


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name, value


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
