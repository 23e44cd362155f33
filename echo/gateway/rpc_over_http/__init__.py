"""gRPC-Web and Connect on the gateway's own HTTP port, relayed to the gRPC server behind it.

Where to look: `serve` which requests these are, and what becomes of each; `connect_unary` calls whose messages are the
bodies; `stream` all others, in the forms of `grpc_web` and `connect_stream`; `exchange` a request and its response on
ASGI, below Quart; `codec`, `metadata`, `outcome`, `encodings` and `framing` what goes over from the one side to the
other; `cors` what browsers ask; `misdirected` gRPC that comes to the wrong port.
"""

from echo.gateway.rpc_over_http.codec import known_methods
from echo.gateway.rpc_over_http.serve import serve_rpc, speaks_rpc

__all__ = ["known_methods", "serve_rpc", "speaks_rpc"]
