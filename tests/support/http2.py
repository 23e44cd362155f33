"""A low-level HTTP/2 client on trio and h2, for requests and for WebSockets over HTTP/2 (RFC 8441)."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trio
from hyperframe.frame import Frame, GoAwayFrame
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage

from tests.support.serving import LOOPBACK
from tests.support.websocket import Closed

Headers = list[tuple[str, str]]


class _Connection(h2.connection.H2Connection):
    """After a GOAWAY, h2 accepts nothing more on the streams that are open (RFC 9113 §6.8 has them go on)."""

    def _receive_goaway_frame(
        self,
        frame: GoAwayFrame,  # noqa: ARG002
    ) -> tuple[list[Frame], list[h2.events.Event]]:
        return [], []


class HTTP2:
    """A connection; one task at a time may use it.

    Attributes:
        scheme: ``http`` or ``https``.
        connection: h2's own, for what has no method here.
    """

    def __init__(self, stream: trio.abc.Stream, scheme: str = "http") -> None:
        self.scheme = scheme
        self._stream = stream
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.connection: h2.connection.H2Connection = _Connection(config)
        self.connection.initiate_connection()
        self.heads: dict[int, dict[str, str]] = {}
        self.data: dict[int, bytearray] = {}
        self.over: set[int] = set()

    async def request(self, headers: Headers, *, end: bool = True) -> int:
        """Send a request's head; returns the number of its stream."""
        stream_id = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream_id, headers, end_stream=end)
        self.data[stream_id] = bytearray()
        await self.flush()
        return stream_id

    async def send(self, stream_id: int, data: bytes) -> None:
        """Send data as the window permits. Raises trio.BrokenResourceError once the stream is reset."""
        at = 0
        while at < len(data):
            try:
                size = min(16_384, self.connection.local_flow_control_window(stream_id), len(data) - at)
                if size:
                    self.connection.send_data(stream_id, data[at : at + size])
            except h2.exceptions.StreamClosedError:
                raise trio.BrokenResourceError from None
            at += size
            await self.flush()
            if not size:
                if stream_id in self.over:
                    raise trio.BrokenResourceError
                await self.receive()

    async def end(self, stream_id: int) -> None:
        """End our side of the stream."""
        self.connection.end_stream(stream_id)
        await self.flush()

    async def reset(self, stream_id: int) -> None:
        self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        await self.flush()

    async def get(self, path: str, headers: Headers | None = None) -> tuple[int, bytes]:
        head = [(":method", "GET"), (":scheme", self.scheme), (":authority", "gateway.test"), (":path", path)]
        stream_id = await self.request([*head, *(headers or [])])
        while stream_id not in self.over:
            await self.receive()
        return int(self.heads[stream_id][":status"]), bytes(self.data[stream_id])

    async def receive(self) -> None:
        """Receive and handle the next bytes."""
        data = await self._stream.receive_some(65_536)
        if not data:
            raise EOFError
        for event in self.connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.heads[event.stream_id] = {str(name): str(value) for name, value in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                self.data[event.stream_id] += event.data
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.over.add(event.stream_id)
        await self.flush()

    def starve(self) -> None:
        """Give streams opened from now on no window, so that the server cannot send data on them."""
        self.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})

    async def flush(self) -> None:
        await self._stream.send_all(self.connection.data_to_send())


class WebSocketOverHTTP2:
    """A WebSocket on a stream of an HTTP/2 connection.

    Attributes:
        stream_id: The stream.
        status: What the handshake was answered with.
    """

    def __init__(self, http2: HTTP2, stream_id: int, status: int) -> None:
        self.stream_id = stream_id
        self.status = status
        self._http2 = http2
        self._frames = Connection(ConnectionType.CLIENT)
        self._text = ""

    async def send(self, message: str | bytes) -> None:
        await self._send(TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message))

    async def receive(self) -> str | Closed:
        """The next text message, or how the server closed."""
        while True:
            for event in self._frames.events():
                if isinstance(event, TextMessage):
                    self._text += event.data
                    if event.message_finished:
                        text, self._text = self._text, ""
                        return text
                if isinstance(event, CloseConnection):
                    await self._send(event.response())
                    return Closed(event.code, event.reason or "")
            data = self._http2.data[self.stream_id]
            if not data:
                if self.stream_id in self._http2.over:
                    return Closed(None)
                await self._http2.receive()
                continue
            self._frames.receive_data(bytes(data))
            data.clear()

    async def send_all(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self._http2.send(self.stream_id, data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes as they arrive; empty once the stream has ended."""
        data = self._http2.data[self.stream_id]
        while not data and self.stream_id not in self._http2.over:
            await self._http2.receive()
        taken = bytes(data[:max_bytes])
        del data[:max_bytes]
        return taken

    async def close(self) -> None:
        """Close as a client does, and wait for the server's close frame."""
        await self._send(CloseConnection(code=1000))
        while self.stream_id not in self._http2.over:
            await self._http2.receive()
        await self._http2.end(self.stream_id)

    async def _send(self, event: Event) -> None:
        await self._http2.send(self.stream_id, self._frames.send(event))


def connect_head(target: str, scheme: str = "http") -> Headers:
    """The head of an extended CONNECT for a WebSocket (RFC 8441 §4)."""
    return [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", scheme),
        (":path", target),
        (":authority", "gateway.test"),
        ("sec-websocket-version", "13"),
    ]


async def websocket_over(http2: HTTP2, target: str, headers: Headers | None = None) -> WebSocketOverHTTP2:
    """Open a WebSocket by an extended CONNECT."""
    stream_id = await http2.request([*connect_head(target, http2.scheme), *(headers or [])], end=False)
    while stream_id not in http2.heads:
        await http2.receive()
    return WebSocketOverHTTP2(http2, stream_id, int(http2.heads[stream_id][":status"]))


@asynccontextmanager
async def open_http2(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[HTTP2]:
    """A connection to the loopback: in plain text with prior knowledge (RFC 9113 §3.3), or as TLS negotiates it."""
    stream: trio.abc.Stream = await trio.open_tcp_stream(LOOPBACK, port)
    if tls is not None:
        tls.set_alpn_protocols(["h2", "http/1.1"])
        stream = secure = trio.SSLStream(stream, tls, server_hostname=LOOPBACK, https_compatible=True)
        await secure.do_handshake()
        assert secure.selected_alpn_protocol() == "h2"
    async with stream:
        connection = HTTP2(stream, "http" if tls is None else "https")
        await connection.flush()
        await connection.receive()  # The server's SETTINGS, which permit an extended CONNECT.
        yield connection
