"""HAProxy in front of echo: the correct configuration, and common mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.probe.real.row import BROKEN, LIMITED, NO_SETTING, Ports, Row, Says
from tests.support.proxy_configs import command
from tests.support.serving import LOOPBACK

# A buffer as large as a window: with a smaller one, a stream that is full both ways may stall (see
# `tests.support.proxy_configs.haproxy_config`).
TUNING: Final[Mapping[str, str]] = {"tune.bufsize": "65536"}
# HAProxy has no timeouts by itself, and warns of a configuration without them.
RIGHT: Final[Mapping[str, str]] = {
    "timeout connect": "5s",
    "timeout client": "1h",
    "timeout server": "1h",
    "timeout tunnel": "1h",
    "timeout http-keep-alive": "1h",
    "timeout http-request": "10s",
    "retry-on": "conn-failure",
}


@dataclass(frozen=True)
class HAProxy:
    """A configuration.

    Attributes:
        changes: What to add to the right section ``defaults``, or to put in its place.
        tuning: What to add to the right section ``global``.
        server: What gRPC's server is besides a port.
        backend: What becomes of gRPC besides.
    """

    changes: Mapping[str, str] = field(default_factory=dict)
    tuning: Mapping[str, str] = field(default_factory=dict)
    server: str = "proto h2"
    backend: str = ""

    def __call__(self, ports: Ports, folder: Path) -> list[str]:
        config = folder / "haproxy.cfg"
        config.write_text(f"""
global
    nbthread 1
    maxconn 500
    log stderr format raw local0 warning
{_lines({**TUNING, **self.tuning})}

defaults
    mode http
    log global
{_lines({**RIGHT, **self.changes})}

frontend grpc
    bind {LOOPBACK}:{ports.grpc} proto h2
    default_backend server

backend server
    {self.backend}
    server s {LOOPBACK}:{ports.server} {self.server}

frontend web
    bind {LOOPBACK}:{ports.web}
    default_backend gateway

backend gateway
    server s {LOOPBACK}:{ports.gateway}
""")
        return command("haproxy", "-db", "-f", str(config))


def _lines(settings: Mapping[str, str]) -> str:
    return "\n".join(f"    {name} {value}" for name, value in settings.items() if value)


def row(setting: str, configure: HAProxy, *says: Says, unclear: Sequence[str] = ()) -> Row:
    """A row of HAProxy's."""
    return Row("HAProxy", setting, configure, says, unclear)


ROWS: Final[Sequence[Row]] = (
    Row(
        "HAProxy",
        "right for gRPC and WebSockets",
        HAProxy(),
        (Says("reset", BROKEN, NO_SETTING),),
        right=True,
    ),
    row("`server` without `proto h2`", HAProxy(server=""), Says("http2", BROKEN, "server … proto h2 or alpn h2")),
    row(
        "`timeout client 2s`, no `timeout http-keep-alive`",
        HAProxy({"timeout client": "2s", "timeout http-keep-alive": "", "timeout http-request": ""}),
        Says("connection-idle", LIMITED, "timeout http-keep-alive or timeout client"),
        Says("backpressure", BROKEN, "timeout client"),
    ),
    row("`timeout server 3s`", HAProxy({"timeout server": "3s"}), Says("stream-idle", LIMITED, "timeout server")),
    row("`timeout tunnel 3s`", HAProxy({"timeout tunnel": "3s"}), Says("ws-idle", LIMITED, "timeout tunnel")),
    row(
        "`timeout http-keep-alive 3s`",
        HAProxy({"timeout http-keep-alive": "3s"}),
        Says("connection-idle", LIMITED, "timeout http-keep-alive or timeout client"),
    ),
    row(
        "`tune.bufsize 16384`, `tune.maxrewrite 8192`",
        HAProxy(tuning={"tune.bufsize": "16384", "tune.maxrewrite": "8192"}),
        Says("header-size", LIMITED, "tune.bufsize"),
    ),
    row(
        "`tune.bufsize 8192`",
        HAProxy(tuning={"tune.bufsize": "8192"}),
        Says("http2", BROKEN, "tune.bufsize"),
    ),
    row(
        "`tune.h2.max-concurrent-streams 10`",
        HAProxy(tuning={"tune.h2.max-concurrent-streams": "10"}),
        Says("concurrency", LIMITED, "tune.h2.max-concurrent-streams"),
    ),
    row(
        "`retry-on all-retryable-errors`",
        HAProxy({"retry-on": "all-retryable-errors"}),
        Says("retries", BROKEN, "retry-on"),
    ),
    row(
        "`option http-buffer-request`",
        HAProxy(backend="option http-buffer-request"),
        Says("request-streaming", BROKEN, "option http-buffer-request"),
        unclear=("bidirectional", "cancel", "stream-idle", "stream-duration", "keepalive", "backpressure"),
    ),
    row(
        "`http-request del-header grpc-timeout`",
        HAProxy(backend="http-request del-header grpc-timeout"),
        Says("deadline", BROKEN, "http-request and http-response rules"),
    ),
)
