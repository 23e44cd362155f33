"""Answers gRPC calls that were sent to the gateway's HTTP port by mistake, in gRPC's own format."""

from echo.gateway.rpc_over_http.exchange import Exchange
from echo.gateway.rpc_over_http.grpc_web import trailers_of
from echo.gateway.rpc_over_http.outcome import Outcome
from echo.rpc import Status
from echo.settings import Settings


async def refuse_grpc(exchange: Exchange, settings: Settings) -> None:
    """Answer a gRPC call with UNIMPLEMENTED, not UNAVAILABLE, which clients would retry."""
    text = (
        "this is the gateway's HTTP port, which serves gRPC-Web, Connect and WebSockets; "
        f"gRPC is served on port {settings.grpc_server_port}"
    )
    await exchange.answer_with_trailers(
        [(b"content-type", b"application/grpc")], trailers_of(Outcome(Status.UNIMPLEMENTED, text))
    )
