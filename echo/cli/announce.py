"""Startup announcements: where each service listens, and commands to try it.

They go to standard output: text if it is a terminal, else one line of JSON each; ``LOG_FORMAT`` decides as it does for
the log. Ports are the real ones, even if port 0 was asked for, and nothing is announced before connections are
accepted. So programs may wait for these lines and read the address from them: ``port`` of the one whose ``service`` is
``grpc``, ``health``, ``gateway`` or ``metrics``. If standard output is closed or broken, they go to the log.
"""

import os
import shlex
import sys

import structlog

from echo.logs import json_line, writes_json
from echo.settings import Settings
from echo.targets import UNIX, join, read_targets
from echo.urls import loopback_of

__all__ = ["announce_console", "announce_gateway", "announce_metrics", "announce_server"]

log = structlog.get_logger(__name__)


def announce_console(settings: Settings, port: int) -> None:
    """Announce the console's URL for a browser, which people want first."""
    url = f"{_scheme(settings)}://{join(_reachable(settings.http_bind), port)}/"
    _announce(settings, [f"console: {url}"], "console", url=url)


def announce_server(settings: Settings, port: int | None, health_port: int | None = None) -> None:
    """Announce the gRPC server on ``port`` or its Unix socket, and the health port if there is one."""
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
        bound = join(settings.grpc_server_bind, port)
        target = join(_reachable(settings.grpc_server_bind), port)
    attempt = f"""grpcurl {flags} -d '{{"message":"hi"}}' {target} com.gopay.echo.Server/GetReply"""
    lines = [f"gRPC server on {bound} ({security})", f"  try: {attempt}"]
    _announce(
        settings, lines, "listening", service="grpc", address=bound, port=port, security=security, attempts=[attempt]
    )
    if health_port is not None:
        lines = [f"health of the gRPC server on port {health_port} (plain text)"]
        _announce(settings, lines, "listening", service="health", port=health_port, security="plain text")


def announce_gateway(settings: Settings, port: int) -> None:
    """Announce the gateway on ``port``, and the servers it calls."""
    scheme = _scheme(settings)
    bound = join(settings.http_bind, port)
    target = join(_reachable(settings.http_bind), port)
    servers = ", ".join(str(target.at(settings.grpc_server_port)) for target in read_targets(settings.grpc_server_host))
    unverified, unchecked, web = ("-k ", "--no-check ", "wss") if scheme == "https" else ("", "", "ws")
    message = """'{"stream_id":"a","message":"hi"}'"""
    attempts = [
        f"curl {unverified}{scheme}://{target}/grpc/hi",
        f"wscat {unchecked}-c {web}://{target}/ws/stream/bidirectional -x {message} -w 1",
    ]
    _announce(
        settings,
        [
            f"gateway on {scheme}://{bound} (calls {servers}{' over TLS' if settings.grpc_server_tls else ''})",
            *(f"  try: {attempt}" for attempt in attempts),
        ],
        "listening",
        service="gateway",
        address=bound,
        port=port,
        security="TLS" if scheme == "https" else "plain text",
        server=servers,
        server_tls=settings.grpc_server_tls,
        attempts=attempts,
    )


def announce_metrics(settings: Settings, port: int | None) -> None:
    """Announce the URL of the metrics, unless ``port`` is None."""
    if port is None:
        return
    url = f"http://{join(_reachable(settings.metrics_bind), port)}/metrics"
    _announce(settings, [f"metrics: {url}"], "listening", service="metrics", port=port, security="plain text", url=url)


def _scheme(settings: Settings) -> str:
    return "http" if settings.http_cert is None else "https"


def _reachable(host: str) -> str:
    """A host that reaches, from this machine, a socket bound to ``host``: localhost for the unspecified address."""
    return host if loopback_of(host) == host else "localhost"


def _announce(settings: Settings, lines: list[str], event: str, **fields: object) -> None:
    """Write the lines, or in JSON the event with its fields, None left out."""
    fields = {name: value for name, value in fields.items() if value is not None}
    if sys.stdout is None:  # It was closed when we started.
        log.info(event, **fields)
        return
    if writes_json(settings.log_format, sys.stdout):
        lines = [json_line("info", __name__, event, **fields)]
    encoding = sys.stdout.encoding or "utf-8"
    try:
        for line in lines:  # A path may hold bytes that cannot be encoded.
            sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except OSError as error:  # Its reader has gone, or the disk is full: no reason to stop serving.
        log.info(event, **fields)
        log.warning("cannot write to standard output", error=error.strerror)
        _discard()


def _discard() -> None:
    """Give up on standard output. Its buffer is redirected to the null device, so that Python can flush it at exit."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, sys.stdout.fileno())
    os.close(null_device)
    sys.stdout = None  # As Python sets it when standard output is closed.
