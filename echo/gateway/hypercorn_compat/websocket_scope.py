"""The ASGI scope of a WebSocket: what an application is told of the handshake."""

from urllib.parse import unquote

from hypercorn.protocol.events import Request
from hypercorn.typing import ConnectionState, WebsocketScope

from echo.gateway.hypercorn_compat.connection_context import ConnectionContext


def websocket_scope(request: Request, shared: ConnectionContext, subprotocols: list[str]) -> WebsocketScope:
    """The scope for a handshake that asks for these subprotocols."""
    path, _, query = request.raw_path.partition(b"?")
    return {
        "type": "websocket",
        "asgi": {"spec_version": "2.3", "version": "3.0"},
        "http_version": request.http_version,
        "scheme": "wss" if shared.tls else "ws",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": shared.config.root_path,
        "headers": request.headers,
        "client": shared.client,
        "server": shared.server,
        "subprotocols": subprotocols,
        "state": ConnectionState(request.state.copy()),
        "extensions": {"websocket.http.response": {}},
    }
