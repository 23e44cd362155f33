"""The gateway: HTTP and WebSockets in front, gRPC behind.

``hypercorn --worker-class trio echo.gateway:app`` serves `app`, configured by the environment. `serve_gateway` serves
in the caller's own nursery and drains gracefully. `create_app` only creates the application.

Where to look: `routes` has the routes; `relay` ties a WebSocket to a call; `messages`, `metadata`, `origin` and
`status` convert between the two sides; `websocket` is the socket as the relay sees it; `drain` is the graceful end;
`rpc_over_http` has gRPC-Web and Connect; `hypercorn_compat` has the corrections to Hypercorn.
"""

from echo.extras import needs

with needs("gateway", part="the gateway"):
    from echo.gateway.application import create_app
    from echo.gateway.environment import EnvironmentApp
    from echo.gateway.server import serve_gateway

__all__ = ["app", "create_app", "serve_gateway"]

app = EnvironmentApp()
