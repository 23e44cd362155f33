"""Where the programs listen: the settings. `echo.cli.listeners` opens the ports and sockets."""

import re
from typing import Final

from echo.configuration import BOTH, GATEWAY, SERVER, Group, Title, optional, setting
from echo.configuration.addresses import BIND, HOST, ORIGINS, PORT
from echo.configuration.values import kind
from echo.targets import DEFAULT_PORT, UNIX
from echo.urls import ANYWHERE

_MODE: Final = kind(
    lambda text: int(text, 8) if re.fullmatch("0?[0-7]{3}", text) else None,
    "is not a file mode (three octal digits, such as 660)",
)


class Listening(Group):
    """Where the gRPC server, the gateway and the metrics are found."""

    listening = Title("Listening")

    grpc_server_port = setting(
        DEFAULT_PORT, PORT, BOTH, "port the gRPC server listens on and the gateway calls; 0 picks a free one"
    )
    grpc_server_bind = setting(
        ANYWHERE, BIND, SERVER, "address the gRPC server listens on, or unix:PATH for a Unix socket"
    )
    grpc_server_socket_mode = optional(
        _MODE, SERVER, "permissions of that socket, such as 660; by default the umask decides"
    )
    grpc_health_port = optional(
        PORT, SERVER, "extra plain-text port that serves only health checks; kubelet's gRPC probe does not speak TLS"
    )
    http_port = setting(8080, PORT, GATEWAY, "port the gateway listens on; 0 picks a free one")
    http_bind = setting(ANYWHERE, HOST, GATEWAY, "address the gateway listens on")
    metrics_port = optional(PORT, BOTH, "port that serves /metrics for Prometheus; off if not set, 0 picks a free one")
    metrics_bind = setting(ANYWHERE, HOST, BOTH, "address that /metrics is served on")
    http_allowed_origins: tuple[str, ...] = setting(
        (),
        ORIGINS,
        GATEWAY,
        "origins whose pages may open WebSockets and make calls, separated by commas, or * for any; "
        "by default only the gateway's own",
    )

    def check(self) -> None:
        """Only a Unix socket has permissions."""
        if self.grpc_server_socket_mode is not None and not self.grpc_server_bind.startswith(UNIX):
            bind = self.name_of("grpc_server_bind")
            raise self.refusal("grpc_server_socket_mode", f"only applies when {bind} is unix:PATH")
