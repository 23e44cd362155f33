"""The settings of server and gateway: environment variables, and a flag for each on the command line.

`Settings` has them all. Those of listening, TLS, connections and logging are declared next to the code that uses them,
the others here. `echo.configuration` says how they are declared and read. Certificates are not looked at here, nor
ports opened: `echo.tls` and the programs find out whether they can be used.
"""

import os
from collections.abc import Mapping
from typing import Final, get_args

from echo.configuration import (
    BOTH,
    GATEWAY,
    SERVER,
    Group,
    Setting,
    SettingsError,
    Title,
    User,
    optional,
    read,
    setting,
)
from echo.configuration.addresses import AUTHORITY, SERVERS
from echo.configuration.values import POSITIVE, SWITCH, either, kind, seconds, whole_number
from echo.limits import Connections
from echo.listening import Listening
from echo.logs import Logging
from echo.rpc import Balance
from echo.tls import Tls

__all__ = ["SETTINGS", "Setting", "Settings", "SettingsError", "User", "load_settings"]

_POLICIES: Final[dict[str, Balance]] = {name: name for name in get_args(Balance)}


class Calling(Group):
    """What the gateway calls."""

    calling = Title("Calling the gRPC server")
    grpc_server_host = setting(
        "localhost",
        SERVERS,
        GATEWAY,
        "gRPC server the gateway calls: HOST, HOST:PORT, unix:PATH or another of gRPC's forms; separate several with "
        "commas",
    )
    grpc_client_balance = setting(
        _POLICIES["pick_first"],
        kind(_POLICIES.get, f"is neither {' nor '.join(_POLICIES)}"),
        GATEWAY,
        "how to choose among several servers or addresses: pick_first takes the first that answers, round_robin "
        "rotates among those that report SERVING",
    )
    grpc_client_authority = optional(
        AUTHORITY,
        GATEWAY,
        "the gRPC server's name in requests (:authority) and in its TLS certificate; by default the host called",
    )
    grpc_client_timeout = setting(
        15.0, seconds(POSITIVE), GATEWAY, "deadline of unary calls made through the gateway, unless the client sets one"
    )


class Running(Group):
    """How many processes there are, and how they end."""

    processes = Title("Processes")
    workers = setting(
        1,
        either({"auto": 0}, whole_number(1, 1_000)),
        BOTH,
        "how many processes serve: a number, or auto for one on each CPU; serve and gateway only",
    )
    shutdown = Title("Shutdown")
    shutdown_grace = setting(10.0, seconds(), BOTH, "how long running calls may go on after SIGTERM or SIGINT")


class Settings(Listening, Calling, Tls, Connections, Running, Logging):
    """All settings. Durations are in seconds, infinity for ``off``; sizes are in bytes."""

    scripting = Title("Scripting")
    echo_scripting = setting(
        True, SWITCH, BOTH, "let callers script what a call is like and have it recorded, by x-echo-... metadata"
    )
    interop = Title("Services for other test clients")
    echo_interop = setting(
        False, SWITCH, SERVER, "serve gRPC's interoperability tests and the Gateway API's conformance tests as well"
    )


SETTINGS: Final = Settings.settings


def load_settings(environ: Mapping[str, str] = os.environ, user: User = BOTH, /, **flags: str) -> Settings:
    """Read all settings that a program uses, as `echo.configuration.read` does."""
    return read(Settings, environ, user, **flags)
