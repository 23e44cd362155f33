"""nginx in front of echo: the correct configuration, and common mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.probe.real.row import BROKEN, LIMITED, NO_SETTING, Ports, Row, Says
from tests.support.proxy_configs import command
from tests.support.serving import LOOPBACK

# What differs from nginx's own defaults, lest it limit any gRPC call or WebSocket.
RIGHT: Final = {
    "client_body_timeout": "1h",
    "client_max_body_size": "0",
    "grpc_buffer_size": "64k",
    "grpc_read_timeout": "1h",
    "grpc_send_timeout": "1h",
    "ignore_invalid_headers": "off",
    "keepalive_timeout": "1h",
    "large_client_header_buffers": "4 32k",
    "proxy_read_timeout": "1h",
    "proxy_send_timeout": "1h",
    "send_timeout": "1h",
    "underscores_in_headers": "on",
}
UPGRADE: Final = """
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
"""


@dataclass(frozen=True)
class Nginx:
    """A configuration.

    Attributes:
        changes: Directives to add to the right ones, or to put in their place.
        base: The right ones.
        listen: What the listener of gRPC is besides a port.
        grpc: What becomes of gRPC.
        upgrade: What WebSockets need besides `proxy_pass`.
        error_page: What becomes of errors of the gateway.
    """

    changes: Mapping[str, str] = field(default_factory=dict)
    base: Mapping[str, str] = field(default_factory=lambda: RIGHT)
    listen: str = "http2"
    grpc: str = "grpc_pass grpc://server;"
    upgrade: str = UPGRADE
    error_page: str = ""

    def __call__(self, ports: Ports, folder: Path) -> list[str]:
        directives = "\n".join(f"{name} {value};" for name, value in {**self.base, **self.changes}.items())
        temporary = "\n".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = folder / "nginx.conf"
        config.write_text(f"""
            daemon off;
            master_process off;
            pid {folder}/pid;
            error_log stderr warn;
            events {{ worker_connections 512; }}
            http {{
                access_log off;
                {temporary}
                {directives}
                map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
                upstream server {{ server {LOOPBACK}:{ports.server}; keepalive 8; }}
                upstream gateway {{ server {LOOPBACK}:{ports.gateway}; }}
                server {{
                    listen {LOOPBACK}:{ports.grpc} {self.listen};
                    location / {{ {self.grpc} }}
                }}
                server {{
                    listen {LOOPBACK}:{ports.web};
                    location / {{
                        proxy_pass http://gateway;
                        proxy_http_version 1.1;
                        proxy_set_header Host $http_host;
                        {self.upgrade}
                        {self.error_page}
                    }}
                }}
            }}
        """)
        return command("nginx", "-e", "stderr", "-p", str(folder), "-c", str(config))


def row(setting: str, configure: Nginx, *says: Says) -> Row:
    """A row of nginx's."""
    return Row("nginx", setting, configure, says)


ROWS: Final[Sequence[Row]] = (
    Row(
        "nginx",
        "right for gRPC and WebSockets",
        Nginx(),
        (Says("reset", BROKEN, NO_SETTING), Says("ws-http2", LIMITED, "http2")),
        right=True,
    ),
    row(
        "`grpc_pass`, everything else at its default",
        Nginx(base={}),
        Says("metadata", BROKEN, "underscores_in_headers"),
        Says("header-size", LIMITED, "large_client_header_buffers"),
        Says("message-size", LIMITED, "client_max_body_size"),
        Says("stream-size", LIMITED, "client_max_body_size"),
    ),
    row(
        "`proxy_pass` for gRPC",
        Nginx(grpc="proxy_pass http://server; proxy_http_version 1.1;"),
        Says("http2", BROKEN, "grpc_pass"),
    ),
    row("`listen` without `http2`", Nginx(listen=""), Says("http2", BROKEN, "http2")),
    row(
        "`grpc_read_timeout 3s`",
        Nginx({"grpc_read_timeout": "3s"}),
        Says("stream-idle", LIMITED, "grpc_read_timeout"),
    ),
    row(
        "`client_body_timeout 3s`",
        Nginx({"client_body_timeout": "3s"}),
        Says("stream-idle", LIMITED, "client_body_timeout"),
    ),
    row(
        "`client_max_body_size 1m`",
        Nginx({"client_max_body_size": "1m"}),
        Says("message-size", LIMITED, "client_max_body_size"),
        Says("stream-size", LIMITED, "client_max_body_size"),
    ),
    row(
        "`underscores_in_headers off`",  # It takes effect only where what is invalid is ignored.
        Nginx({"underscores_in_headers": "off", "ignore_invalid_headers": "on"}),
        Says("metadata", BROKEN, "underscores_in_headers"),
    ),
    row(
        "`ignore_invalid_headers on`",
        Nginx({"ignore_invalid_headers": "on"}),
        Says("metadata", BROKEN, "ignore_invalid_headers"),
    ),
    row(
        "`large_client_header_buffers 4 8k`",
        Nginx({"large_client_header_buffers": "4 8k"}),
        Says("header-size", LIMITED, "large_client_header_buffers"),
    ),
    row(
        "`http2_max_concurrent_streams 10`",
        Nginx({"http2_max_concurrent_streams": "10"}),
        Says("concurrency", LIMITED, "http2_max_concurrent_streams"),
    ),
    row(
        "`keepalive_requests 20`",
        Nginx({"keepalive_requests": "20"}),
        Says("concurrency", LIMITED, "keepalive_requests"),
    ),
    row(
        "`keepalive_timeout 3s`",
        Nginx({"keepalive_timeout": "3s"}),
        Says("connection-idle", LIMITED, "keepalive_timeout"),
    ),
    row("no `Upgrade` headers", Nginx(upgrade=""), Says("ws-upgrade", BROKEN, "proxy_set_header Upgrade")),
    row("`proxy_read_timeout 3s`", Nginx({"proxy_read_timeout": "3s"}), Says("ws-idle", LIMITED, "proxy_read_timeout")),
    row(
        "`proxy_intercept_errors on`",
        Nginx({"proxy_intercept_errors": "on"}, error_page="error_page 400 404 500 501 503 504 /nothing;"),
        Says("http-status", BROKEN, "proxy_intercept_errors"),
    ),
)
