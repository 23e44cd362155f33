"""Where the server listens that this environment configures: the settings, and from them the address to ask."""

from echo.configuration import SERVER, Group, optional
from echo.configuration.addresses import FILE
from echo.listening import Listening
from echo.targets import UNIX, Target, read_targets
from echo.urls import ANYWHERE, loopback_of


class OwnServer(Group):
    """The settings that say it. The server's others may be invalid here, as flags may have replaced them there."""

    grpc_server_port = Listening.grpc_server_port
    grpc_server_bind = Listening.grpc_server_bind
    grpc_health_port = Listening.grpc_health_port
    grpc_server_cert = optional(FILE, SERVER, "turns on TLS")  # As in `echo.tls`, which would load OpenSSL.

    def target(self) -> tuple[Target, bool]:
        """The address to ask, and whether TLS is spoken there: never on the port for health checks.

        Raises:
            SettingsError: The port is 0, which is any free one.
        """
        bind, port = self.grpc_server_bind, "grpc_server_port"
        if self.grpc_health_port is not None:
            bind, port = ANYWHERE if bind.startswith(UNIX) else bind, "grpc_health_port"
        if bind.startswith(UNIX):
            (target,) = read_targets(bind)
        elif number := getattr(self, port):
            target = Target(loopback_of(bind), number)
        else:
            raise self.refusal(port, "0 is any free port: name the server's address")
        return target, self.grpc_health_port is None and self.grpc_server_cert is not None
