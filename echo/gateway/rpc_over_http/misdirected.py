"""Answers gRPC calls that were sent to the gateway's HTTP port by mistake, in gRPC's own format."""

from echo.gateway.rpc_over_http.exchange import Exchange
from echo.gateway.rpc_over_http.grpc_web import trailers_of
from echo.gateway.rpc_over_http.outcome import Outcome
from echo.rpc import Status
from echo.settings import Settings
from echo.targets import read_targets


async def refuse_grpc(exchange: Exchange, settings: Settings) -> None:
    """Answer a gRPC call with UNIMPLEMENTED, not UNAVAILABLE, which clients would retry."""
    text = (
        "this is the gateway's HTTP port, which serves gRPC-Web, Connect and WebSockets; "
        f"gRPC is served on {_place(settings)}"
    )
    await exchange.answer_with_trailers(
        [(b"content-type", b"application/grpc")], trailers_of(Outcome(Status.UNIMPLEMENTED, text))
    )


def _place(settings: Settings) -> str:
    """Where the servers that the gateway calls listen, without their addresses, which are not the client's business."""
    targets = [target.at(settings.grpc_server_port) for target in read_targets(settings.grpc_server_host)]
    ports = sorted({target.port for target in targets if target.port is not None})
    return f"port {' or '.join(map(str, ports))}" if ports else "a Unix socket"
