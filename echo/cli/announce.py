"""What is said when something has started: where it listens, and a line to try it with.

It goes to standard output, in the form that the log has on standard error: text for a person on a terminal, else a line
of JSON for each (``LOG_FORMAT`` decides, as for the log, and by standard output's own terminal). Ports are the real
ones, also where port 0 was asked for, and nothing is said before connections are accepted. So programs may wait for
these lines and read the address from them: ``port`` of the one whose ``service`` is ``grpc``, ``health``, ``gateway``
or ``metrics``. Where nobody can read standard output, they go to the log.
"""

import ipaddress
import os
import shlex
import sys

import structlog

from echo.logs import json_line, writes_json
from echo.settings import Settings
from echo.settings.addresses import UNIX, split_servers

__all__ = ["announce_console", "announce_gateway", "announce_metrics", "announce_server", "authority"]

log = structlog.get_logger(__name__)


def authority(host: str, port: int) -> str:
    """Host and port as one word; IPv6 addresses get their brackets (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def announce_console(settings: Settings, port: int) -> None:
    """Say where to point a browser: at the gateway's console. What a person wants to know first."""
    url = f"{_scheme(settings)}://{authority(_reachable(settings.http_bind), port)}/"
    _say(settings, [f"console: {url}"], "console", url=url)


def announce_server(settings: Settings, port: int | None, health_port: int | None = None) -> None:
    """Say that the gRPC server listens on ``port``, or on its Unix socket, and where else it answers health checks."""
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
    attempt = f"""grpcurl {flags} -d '{{"message":"hi"}}' {target} com.gopay.echo.Server/GetReply"""
    lines = [f"gRPC server on {bound} ({security})", f"  try: {attempt}"]
    _say(settings, lines, "listening", service="grpc", address=bound, port=port, security=security, attempts=[attempt])
    if health_port is not None:
        lines = [f"health of the gRPC server on port {health_port} (plain text)"]
        _say(settings, lines, "listening", service="health", port=health_port, security="plain text")


def announce_gateway(settings: Settings, port: int) -> None:
    """Say that the gateway listens on ``port``, and which server it calls."""
    scheme = _scheme(settings)
    bound = authority(settings.http_bind, port)
    target = authority(_reachable(settings.http_bind), port)
    servers = ", ".join(
        host if host.startswith(UNIX) else authority(host, settings.grpc_server_port if own is None else own)
        for host, own in split_servers(settings.grpc_server_host)
    )
    unverified, unchecked, web = ("-k ", "--no-check ", "wss") if scheme == "https" else ("", "", "ws")
    message = """'{"stream_id":"a","message":"hi"}'"""
    attempts = [
        f"curl {unverified}{scheme}://{target}/grpc/hi",
        f"wscat {unchecked}-c {web}://{target}/ws/stream/bidirectional -x {message} -w 1",
    ]
    _say(
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
    """Say where Prometheus finds the metrics, if it does."""
    if port is None:
        return
    url = f"http://{authority(_reachable(settings.metrics_bind), port)}/metrics"
    _say(settings, [f"metrics: {url}"], "listening", service="metrics", port=port, security="plain text", url=url)


def _scheme(settings: Settings) -> str:
    return "http" if settings.http_cert is None else "https"


def _reachable(host: str) -> str:
    """Where to find on this machine what is bound to ``host``: every address means localhost too."""
    try:
        return "localhost" if ipaddress.ip_address(host).is_unspecified else host
    except ValueError:
        return host


def _say(settings: Settings, lines: list[str], event: str, **fields: object) -> None:
    """Write the lines, or the event with those of its fields that have a value."""
    fields = {name: value for name, value in fields.items() if value is not None}
    if sys.stdout is None:  # Closed by whoever started us.
        log.info(event, **fields)
        return
    if writes_json(settings.log_format, sys.stdout):
        lines = [json_line("info", __name__, event, **fields)]
    encoding = sys.stdout.encoding or "utf-8"
    try:
        for line in lines:  # A path need not be text.
            sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except OSError as error:  # Its reader has gone, or its disk is full: no reason to stop serving.
        log.info(event, **fields)
        log.warning("cannot write to standard output", error=error.strerror)
        _discard()


def _discard() -> None:
    """Give up on standard output. What is left in its buffer goes nowhere, so that Python can flush it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    sys.stdout = None  # As Python itself has it where it is closed.
