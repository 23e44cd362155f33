"""A WebSocket's place in Quart: from the handshake to the end of its handler.

Quart routes the handshake and gives it a request context. The handler then uses an `echo.gateway.websocket.Socket`.
"""

from sys import intern
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urlsplit

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, WebsocketScope
from quart.wrappers import Response, Websocket
from quart_trio.wrappers import TrioWebsocket
from werkzeug.datastructures import Headers

from echo.access_log import AccessLog
from echo.gateway.hypercorn_compat import CLOSE_GRACE
from echo.gateway.status import DRAINING, close_of_failed_call
from echo.gateway.tracing import GatewayTracing, headers_of, keep_trace
from echo.gateway.websocket import Socket
from echo.rpc import Status

if TYPE_CHECKING:
    from echo.telemetry.web import WebMeter

FAULT: Final = close_of_failed_call(Status.INTERNAL, "the gateway failed")


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
