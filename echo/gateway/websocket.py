"""One WebSocket as the relay sees it, straight on ASGI, and its place in Quart.

Quart routes the handshake and gives it a request context; from then on nothing of Quart or Quart-Trio stands between
the relay and the server. Their own WebSocket class would cancel the handler when the client leaves (so that a call
could not be ended in good order), fail on an empty binary message, close with 1000 when the handler fails, and queue
every message twice.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast
from urllib.parse import urlsplit

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, WebsocketScope
from quart.wrappers import Response, Websocket
from quart_trio.wrappers import TrioWebsocket
from werkzeug.datastructures import Headers

from echo.access_log import AccessLog
from echo.gateway.access import SocketNotes
from echo.gateway.hypercorn_compat import CLOSE_GRACE, CLOSE_TIMEOUT, DIRECT, AcceptOptions, Direct
from echo.gateway.metadata import REQUEST_ID
from echo.gateway.status import ABNORMAL, DRAINING, Close, close_of_failed_call
from echo.gateway.tracing import GatewayTracing, RequestTrace, headers_of, keep_trace, trace_of
from echo.rpc import Status

if TYPE_CHECKING:
    from echo.telemetry.web import WebMeter

log = logging.getLogger(__name__)

FAULT: Final = close_of_failed_call(Status.INTERNAL, "the gateway failed")


class End(Enum):
    """What `Socket.receive` gives once there are no more messages."""

    GONE = "the client has left, with a close frame or without"
    TOO_BIG = "the client sent a message over the limit; it is still there"


class Socket:
    """An accepted (or not yet accepted) WebSocket. One task receives, one sends; `close` is for the one that sends.

    Attributes:
        accepted: The upgrade has been made.
        closed: There is nothing more to send: we have closed it, or the client is gone.
        notes: What the access log is to tell.
        trace: What is recorded of it; None for nothing.
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
        self._received: Iterator[str | bytes] = iter(())  # What came together with the last message, in one read.
        self.notes = SocketNotes(scope)
        self.trace: RequestTrace | None = trace_of(scope)

    async def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Make the upgrade, with these headers in the response."""
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

    async def receive(self) -> str | bytes | Literal[End.GONE, End.TOO_BIG]:
        """The next message, or that there will be none. Not to be called again after `End`."""
        message = next(self._received, None)
        if message is None:
            event = await self._receive()
            if event["type"] != "websocket.receive":
                self.closed = True
                code = cast("int", event.get("code", 1005))
                how = "the client closed it" if code != ABNORMAL else "the client left without a close frame"
                self.notes.end(code, how, by_client=True)
                return End.GONE
            batch = cast("list[str | bytes] | None", event.get("messages"))
            if batch is None:
                message = event.get("text")
                if message is None:
                    message = event.get("bytes")
            else:
                self._received = iter(batch)
                message = next(self._received)
        if message is None:  # The server has not kept it.
            return End.TOO_BIG
        size = _size(message)
        if size > self._max_message_size:
            return End.TOO_BIG
        self.notes.messages_in += 1
        self.notes.bytes_in += size
        return message

    def send_now(self, texts: Sequence[str]) -> bool:
        """Send text messages without waiting, if that can be done; tell whether it was.

        Not to be called while a `send` is under way. If `pending` is true then, a `send`, if of nothing, has to follow.
        """
        taken = self._direct is not None and self._direct.send_now(texts)
        if taken:
            self.notes.sent(texts)
        return taken

    @property
    def pending(self) -> bool:
        """Whether something of what `send_now` took is still here."""
        return self._direct is not None and self._direct.pending

    async def send(self, texts: Sequence[str]) -> None:
        """Send text messages. Waits while the client takes none; does nothing once it is gone."""
        self.notes.sent(texts)
        if self._direct is not None:  # It costs less than ASGI's own events.
            await self._direct.send_texts(texts)
            return
        for text in texts:
            await self._send({"type": "websocket.send", "bytes": None, "text": text})

    async def close(self, close: Close) -> None:
        """Send a close frame and wait, a bounded time, for the client's; does nothing if the socket is closed.

        What the client sends meanwhile is read and dropped: if it lay unread when the connection is closed, TCP would
        reset the connection, and the client might never see our close frame (RFC 6455 §7.1.1).
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
    """Bytes of a message, of a text as UTF-8."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())


class Application(Protocol):
    """What runs the handlers: Quart; and what it was told about WebSockets."""

    @property
    def access_log(self) -> AccessLog | None:
        """Where each WebSocket is told of in the end."""
        ...

    @property
    def tracing(self) -> GatewayTracing | None:
        """Who records each as a trace, if anybody does."""
        ...

    @property
    def web(self) -> "WebMeter | None":
        """What counts WebSockets; None for nothing."""
        ...

    @property
    def max_message_size(self) -> int:
        """Bytes of a message that are taken."""
        ...

    @property
    def ping_interval(self) -> float:
        """Seconds between pings of a WebSocket; infinity for none."""
        ...

    async def handle_websocket(self, websocket: Websocket, /) -> object:
        """Run the handler of a WebSocket; the response to the handshake if the upgrade was not made."""
        ...


class GatewayWebsocket(TrioWebsocket):
    """Quart's view of the handshake, and beside it the socket to use."""

    socket: Socket


class SocketConnection:
    """Runs the handler of one WebSocket; Quart's ``asgi_websocket_class``.

    However the handler ends, the client hears how: with the code that the handler closed with; with 1011 if it failed;
    with 1001 if the server cancelled it. A response instead of an upgrade goes out as such.
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
            await _say_goodbye(socket)
            raise
        except BaseExceptionGroup as group:
            if group.subgroup(trio.Cancelled) is not None:
                await _say_goodbye(socket)
            raise
        if not socket.accepted:
            await _reject(socket, response)
        elif not socket.closed:  # A handler that ends in good order has closed it. Quart has logged the other.
            await socket.close(FAULT)

    def _websocket(self, socket: Socket) -> GatewayWebsocket:
        """What Quart routes by; whatever it would receive or send by goes past it."""
        scope = self._scope
        path = scope["path"] if scope["path"].startswith("/") else urlsplit(scope["path"]).path
        headers = Headers((name.decode("latin-1").title(), value.decode("latin-1")) for name, value in scope["headers"])
        websocket = GatewayWebsocket(
            path.removeprefix(scope["root_path"]) or " ",  # A path that no route has.
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


async def _say_goodbye(socket: Socket) -> None:
    """Tell the client that the server goes away, though we are cancelled: there is no later moment to do so.

    Under plain Hypercorn, being cancelled is the only word that a handler gets of a shutdown.
    """
    if socket.accepted and not socket.closed:
        with trio.move_on_after(CLOSE_GRACE, shield=True):  # There is no later moment, and it is a short one.
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
    """The socket of the WebSocket that is being handled, from Quart's ``websocket``."""
    return cast("GatewayWebsocket", websocket).socket
