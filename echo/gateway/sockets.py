"""The WebSocket routes: check the handshake, accept it, relay."""

from functools import partial
from typing import TYPE_CHECKING, cast

from hypercorn.typing import WebsocketScope
from quart import Response, websocket

from echo.gateway.metadata import REQUEST_ID, call_context
from echo.gateway.origin import allowed
from echo.gateway.relay import BIDIRECTIONAL, CLIENT, SERVER, Method, relay
from echo.gateway.socket import Socket
from echo.gateway.status import HTTP_STATUS, error_body
from echo.rpc import GRPCError

if TYPE_CHECKING:
    from echo.gateway.app import Gateway

SOCKET = "echo.socket"  # Where the app leaves the `Socket` in the scope of ASGI.

ROUTES = {
    "/ws/stream/bidirectional": BIDIRECTIONAL,
    "/ws/stream/server": SERVER,
    "/ws/stream/client": CLIENT,
}


def add_websocket_routes(app: "Gateway") -> None:
    """Add a route for each streaming method."""
    for path, method in ROUTES.items():
        app.add_websocket(path, endpoint=path, view_func=partial(_handle, app, method))


async def _handle(app: "Gateway", method: Method) -> Response | None:
    scope = cast("WebsocketScope", websocket.scope)
    socket: Socket = scope[SOCKET]  # type: ignore[literal-required]
    settings = app.settings
    if not allowed(websocket.headers.get("origin"), websocket.headers.get("host"), settings.http_allowed_origins):
        return Response("origin not allowed", 403, content_type="text/plain; charset=utf-8")
    client = scope.get("client")
    try:
        context = call_context(scope["headers"], client[0] if client else None)
    except GRPCError as error:
        return Response(error_body(error), HTTP_STATUS[error.status], content_type="application/json")
    await socket.accept([(REQUEST_ID.encode(), context.request_id.encode())])
    await relay(socket, app.channel, method, context, settings.grpc_client_timeout)
    return None
