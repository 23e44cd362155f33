"""One WebSocket as the relay sees it, directly on ASGI, and its place in Quart.

Quart routes the handshake and gives it a request context; after that, nothing of Quart or Quart-Trio is between the
relay and the ASGI server. Their own WebSocket class would cancel the handler when the client leaves (so that a call
could not be ended properly), fail on an empty binary message, close with 1000 when the handler fails, and queue every
message twice.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from sys import intern
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urlsplit

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, WebsocketScope
from quart.wrappers import Response, Websocket
from quart_trio.wrappers import TrioWebsocket
from werkzeug.datastructures import Headers

from echo.access_log import AccessLog
from echo.close_codes import ABNORMAL, NO_CODE
from echo.gateway.access import SocketNotes
from echo.gateway.hypercorn_compat import CLOSE_GRACE, CLOSE_TIMEOUT, DIRECT, AcceptOptions, Direct
from echo.gateway.metadata import REQUEST_ID
from echo.gateway.status import DRAINING, Close, close_of_failed_call
from echo.gateway.tracing import GatewayTracing, RequestTrace, headers_of, keep_trace, trace_of
from echo.rpc import Status

if TYPE_CHECKING:
    from echo.telemetry.web import WebMeter

log = logging.getLogger(__name__)

FAULT: Final = close_of_failed_call(Status.INTERNAL, "the gateway failed")


class NoMessage(Enum):
    """Why `Socket.receive` returns no more messages."""

    DISCONNECTED = "the client has left, with a close frame or without"
    TOO_BIG = "the client sent a message over the limit; it is still connected"


class Socket:
    """A WebSocket, before and after the upgrade. One task may receive while another sends; `close` counts as sending.

    Attributes:
        accepted: The upgrade has been made.
        closed: Nothing more can be sent: we have closed it, or the client has left.
        notes: What the access log reports about it.
        trace: Its trace; None if it is not traced.
    """

    def __init__(
        self,
        scope: WebsocketScope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        *,
        max_message_size: int,
        ping_interval: float,
    ) -> None:
        self.accepted = False
        self.closed = False
        self._receive = receive
        self._send = send
        self._max_message_size = max_message_size
        self._accept_options = AcceptOptions(batched=True, ping_interval=ping_interval)
        self._direct = cast("Direct | None", scope["extensions"].get(DIRECT))
        self._received: Iterator[str | bytes] = iter(())  # Messages that arrived together with the last one.
        self.notes = SocketNotes(scope)
        self.trace: RequestTrace | None = trace_of(scope)

    async def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Accept the handshake, with these headers in the response."""
        self.accepted = self.notes.accepted = True
        self.notes.request_id = dict(headers).get(REQUEST_ID)
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
        accept = {"type": "websocket.accept", "subprotocol": None, "headers": encoded, DIRECT: self._accept_options}
        await self._send(cast("ASGISendEvent", accept))

    async def reject(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer the handshake with an HTTP response instead of the upgrade."""
        self.closed = True
        self.notes.end(status, "")
        self.notes.request_id = headers.get(REQUEST_ID)
        encoded = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "websocket.http.response.start", "status": status, "headers": encoded})
        await self._send({"type": "websocket.http.response.body", "body": body, "more_body": False})

    async def receive(self) -> str | bytes | NoMessage:
        """The next message, or why there will be none. Must not be called again after a `NoMessage`."""
        message = next(self._received, None)
        if message is None:
            event = await self._receive()
            if event["type"] != "websocket.receive":
                self.closed = True
                code = cast("int", event.get("code", NO_CODE))
                how = "the client closed it" if code != ABNORMAL else "the client left without a close frame"
                self.notes.end(code, how, by_client=True)
                return NoMessage.DISCONNECTED
            batch = cast("list[str | bytes] | None", event.get("messages"))
            if batch is None:
                message = event.get("text")
                if message is None:
                    message = event.get("bytes")
            else:
                self._received = iter(batch)
                message = next(self._received)
        if message is None:  # Too big for the ASGI server, which has dropped it.
            return NoMessage.TOO_BIG
        size = _size(message)
        if size > self._max_message_size:
            return NoMessage.TOO_BIG
        self.notes.messages_in += 1
        self.notes.bytes_in += size
        return message

    def send_now(self, texts: Sequence[str]) -> bool:
        """Send text messages without waiting, if possible; returns whether they were taken.

        Must not be called during a `send`. If `pending` is true afterwards, a `send` must follow, possibly without
        texts.
        """
        taken = self._direct is not None and self._direct.send_now(texts)
        if taken:
            self.notes.sent(texts)
        return taken

    @property
    def pending(self) -> bool:
        """Whether bytes taken by `send_now` are waiting for `send`."""
        return self._direct is not None and self._direct.pending

    async def send(self, texts: Sequence[str]) -> None:
        """Send text messages. Waits while the client does not read; does nothing once it has left."""
        self.notes.sent(texts)
        if self._direct is not None:  # It costs less than ASGI events.
            await self._direct.send_texts(texts)
            return
        for text in texts:
            await self._send({"type": "websocket.send", "bytes": None, "text": text})

    async def close(self, close: Close) -> None:
        """Send a close frame and wait for the client's, for at most `CLOSE_TIMEOUT`; does nothing if already closed.

        Whatever the client sends meanwhile is read and dropped: if it were left unread when the connection is closed,
        TCP would reset the connection, and the client might never see our close frame (RFC 6455 §7.1.1).
        """
        if self.closed:
            return
        self.closed = True
        self.notes.end(close.code, close.reason)
        await self._send({"type": "websocket.close", "code": close.code, "reason": close.reason})
        with trio.move_on_after(CLOSE_TIMEOUT):
            while (await self._receive())["type"] == "websocket.receive":
                pass


def _size(message: str | bytes) -> int:
    """The size of a message in bytes; text counts as UTF-8."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())


class Application(Protocol):
    """The application that runs the handlers, and its options for WebSockets."""

    @property
    def access_log(self) -> AccessLog | None:
        """Gets a line for each WebSocket when it ends; None for no lines."""
        ...

    @property
    def tracing(self) -> GatewayTracing | None:
        """Records each WebSocket as a trace; None for no traces."""
        ...

    @property
    def web(self) -> "WebMeter | None":
        """Counts WebSockets; None for no counts."""
        ...

    @property
    def max_message_size(self) -> int:
        """The largest message accepted, in bytes."""
        ...

    @property
    def ping_interval(self) -> float:
        """Seconds between pings of a WebSocket; infinity for none."""
        ...

    async def handle_websocket(self, websocket: Websocket, /) -> object:
        """Run the handler of a WebSocket; returns the response to the handshake if the upgrade was not made."""
        ...


class GatewayWebsocket(TrioWebsocket):
    """Quart's view of the handshake, with the socket that handlers use."""

    socket: Socket


class SocketConnection:
    """Runs the handler of one WebSocket; Quart's ``asgi_websocket_class``.

    The client always gets a close code: the handler's own, 1011 if the handler failed, or 1001 if the server cancelled
    it. If the handler returns a response instead of accepting, that response is sent.
    """

    def __init__(self, app: Application, scope: WebsocketScope) -> None:
        self._app = app
        self._scope = scope

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the WebSocket until it is closed."""
        app = self._app
        size, interval = app.max_message_size, app.ping_interval
        trace = None if app.tracing is None else app.tracing.begin(self._scope, headers_of(self._scope))
        if trace is not None:
            keep_trace(self._scope, trace)
        socket = Socket(self._scope, receive, send, max_message_size=size, ping_interval=interval)
        if (await receive())["type"] != "websocket.connect":
            return
        if app.web is not None:
            app.web.socket_began(socket.notes)
        try:
            await self._run(socket)
        finally:
            if trace is not None:
                notes = socket.notes
                received, sent = notes.messages_in, notes.messages_out
                trace.closed(notes.status, notes.reason, upgraded=socket.accepted, received=received, sent=sent)
            if app.web is not None:
                app.web.socket_ended(socket.notes)
            if app.access_log is not None:
                app.access_log.write(socket.notes.entry())

    async def _run(self, socket: Socket) -> None:
        websocket = self._websocket(socket)
        try:
            response = await self._app.handle_websocket(websocket)
        except trio.Cancelled:
            await _close_going_away(socket)
            raise
        except BaseExceptionGroup as group:
            if group.subgroup(trio.Cancelled) is not None:
                await _close_going_away(socket)
            raise
        if not socket.accepted:
            await _reject(socket, response)
        elif not socket.closed:  # The handler failed, and Quart has logged why; otherwise it would have closed it.
            await socket.close(FAULT)

    def _websocket(self, socket: Socket) -> GatewayWebsocket:
        """The object that Quart routes by; its own receive and send are never used."""
        scope = self._scope
        path = scope["path"] if scope["path"].startswith("/") else urlsplit(scope["path"]).path
        # Sockets share the names, of which most have the same.
        named = ((intern(name.decode("latin-1").title()), value.decode("latin-1")) for name, value in scope["headers"])
        headers = Headers(named)
        websocket = GatewayWebsocket(
            path.removeprefix(scope["root_path"]) or " ",  # No route has this path; Quart fails on an empty one.
            scope["query_string"],
            scope["scheme"],
            headers,
            scope["root_path"],
            scope["http_version"],
            list(scope["subprotocols"]),
            _unused,
            _unused,
            _unused,
            _unused,
            scope,
        )
        websocket.socket = socket
        return websocket


async def _close_going_away(socket: Socket) -> None:
    """Close with 1001, although the handler is cancelled.

    Under plain Hypercorn, being cancelled is the only sign of a shutdown that a handler gets.
    """
    if socket.accepted and not socket.closed:
        with trio.move_on_after(CLOSE_GRACE, shield=True):  # Shielded, because there is no later moment; it is short.
            await socket.close(DRAINING)


async def _reject(socket: Socket, response: object) -> None:
    if isinstance(response, Response):
        body = await response.get_data(as_text=False)
        await socket.reject(response.status_code, dict(response.headers), body)
    else:
        await socket.reject(500, {}, b"")


async def _unused(*_: object) -> None:
    raise NotImplementedError("use GatewayWebsocket.socket")


def current_socket(websocket: Websocket) -> Socket:
    """The socket of the current WebSocket, from Quart's ``websocket``."""
    return cast("GatewayWebsocket", websocket).socket
