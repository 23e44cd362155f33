"""What a person reads when something has started: where it listens, and a line to try it with.

These lines go to standard output, whatever the log's form; the log, on standard error, gets an event of each as well.
Ports are the real ones, also where port 0 was asked for, and a line is printed only once connections are accepted.
So programs may wait for these lines and read the address from them.
"""

import ipaddress
import shlex

import click
import structlog

from echo.settings import Settings
from echo.settings.addresses import UNIX, split_servers

__all__ = ["announce_gateway", "announce_server", "authority"]

log = structlog.get_logger(__name__)


def authority(host: str, port: int) -> str:
    """Host and port as one word; IPv6 addresses get their brackets (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def announce_server(settings: Settings, port: int | None, health_port: int | None = None) -> None:
    """Say that the gRPC server listens on ``port``, or on its Unix socket, and where else for questions of health."""
    if settings.grpc_server_client_ca:
        security, flags = "mTLS", "-insecure -cert client.pem -key client.key"
    elif settings.grpc_server_cert:
        security, flags = "TLS", "-insecure"
    else:
        security, flags = "plain text", "-plaintext"
    if port is None:
        bound = settings.grpc_server_bind
        target = f"-unix {shlex.quote(bound.removeprefix(UNIX))}"
    else:
        bound = authority(settings.grpc_server_bind, port)
        target = authority(_reachable(settings.grpc_server_bind), port)
    log.info("listening", service="grpc", address=bound, security=security)
    click.echo(f"gRPC server on {bound} ({security})")
    click.echo(f"""  try: grpcurl {flags} -d '{{"message":"hi"}}' {target} com.gopay.echo.Server/GetReply""")
    if health_port is not None:
        log.info("listening", service="health", port=health_port)
        click.echo(f"health of the gRPC server on port {health_port} (plain text)")


def announce_gateway(settings: Settings, port: int) -> None:
    """Say that the gateway listens on ``port``, and which server it calls."""
    bound = authority(settings.http_bind, port)
    target = authority(_reachable(settings.http_bind), port)
    servers = ", ".join(
        host if host.startswith(UNIX) else authority(host, settings.grpc_server_port if own is None else own)
        for host, own in split_servers(settings.grpc_server_host)
    )
    secure = settings.http_cert is not None
    log.info("listening", service="gateway", address=bound, server=servers, tls=settings.grpc_server_tls, https=secure)
    s, unverified, unchecked = ("s", "-k ", "--no-check ") if secure else ("", "", "")
    click.echo(f"gateway on http{s}://{bound} (calls {servers}{' over TLS' if settings.grpc_server_tls else ''})")
    click.echo(f"  try: curl {unverified}http{s}://{target}/grpc/hi")
    click.echo(
        f"  try: wscat {unchecked}-c ws{s}://{target}/ws/stream/bidirectional"
        """ -x '{"stream_id":"a","message":"hi"}' -w 1"""
    )


def _reachable(host: str) -> str:
    """Where to find on this machine what is bound to ``host``: every address means localhost too."""
    try:
        return "localhost" if ipaddress.ip_address(host).is_unspecified else host
    except ValueError:
        return host
