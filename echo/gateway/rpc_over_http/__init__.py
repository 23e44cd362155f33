"""gRPC-Web and Connect on the gateway's HTTP port, relayed to the gRPC server behind it.

`serve` recognises the requests and dispatches them. `connect_unary` handles calls whose bodies are the messages;
`stream` handles all others, in the formats of `grpc_web` and `connect_stream`. `exchange` is a request and its response
on ASGI, below Quart. `codec`, `metadata`, `outcome`, `encodings` and `framing` convert between HTTP and gRPC. `cors`
answers preflights, and `misdirected` answers gRPC sent to this port.
"""

from echo.gateway.rpc_over_http.codec import known_methods
from echo.gateway.rpc_over_http.serve import serve_rpc, speaks_rpc

__all__ = ["known_methods", "serve_rpc", "speaks_rpc"]
