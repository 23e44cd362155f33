"""The gateway: HTTP and WebSockets in front, gRPC behind.

``hypercorn --worker-class trio echo.gateway:app`` serves `app`, made from the environment; `serve_gateway` serves in
the caller's own nursery and drains in good order; `create_app` is for whoever wants neither.

Where to look: `routes` what a request asks for, `relay` how a WebSocket and a call are tied together, `messages`,
`metadata`, `origin` and `status` what goes over from the one side to the other, `websocket` the socket as the relay
sees it, `drain` the end in good order, `rpc_over_http` gRPC-Web and Connect, `hypercorn_compat` what is mended of
Hypercorn.
"""

from echo.extras import needs

with needs("gateway", part="the gateway"):
    from echo.gateway.application import create_app
    from echo.gateway.environment import EnvironmentApp
    from echo.gateway.server import serve_gateway

__all__ = ["app", "create_app", "serve_gateway"]

app = EnvironmentApp()
