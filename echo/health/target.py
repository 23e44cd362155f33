"""Which server to ask: the one named on the command line, or the one that this environment configures."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from echo.targets import Target, read_targets
from echo.urls import DEFAULT_PORTS, is_host

__all__ = ["Web", "own_server", "parse_address", "parse_url"]


_TARGET: Final = re.compile("[!-~]*")  # What may stand in a request's first line.


@dataclass(frozen=True, slots=True)
class Web:
    """A parsed URL: the address, the path with its query, and whether it is https."""

    address: Target
    path: str
    tls: bool


def parse_address(text: str) -> Target:
    """Parse ``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT`` on this machine, or ``unix:PATH``.

    Raises:
        ValueError: The text has none of these forms.
    """
    try:
        (target,) = read_targets(f"localhost{text}" if text.startswith(":") else text)
        if target.port is None or (target.port and is_host(target.host)):
            return target
    except ValueError:  # Several targets are not an address either.
        pass
    raise ValueError(f"{text!r} is not HOST:PORT or unix:PATH")


def parse_url(text: str) -> Web:
    """Parse a gateway's URL; its path is ``/readyz`` by default.

    Raises:
        ValueError: The text is not a URL with http or https.
    """
    try:
        parts = urlsplit(text if "//" in text else f"http://{text}")
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:  # Unmatched brackets, or an invalid port.
        host = port = None
    if host is None or port is None or not is_host(host) or not _TARGET.fullmatch(parts.path + parts.query):
        raise ValueError(f"{text!r} is not http://HOST:PORT or https://HOST:PORT")
    path = "/readyz" if parts.path in {"", "/"} else parts.path
    return Web(Target(host, port), f"{path}?{parts.query}" if parts.query else path, parts.scheme == "https")


def own_server(environ: Mapping[str, str]) -> tuple[Target, bool]:
    """The address to ask a server with this environment, and whether it speaks TLS there (never on GRPC_HEALTH_PORT).

    Raises:
        ValueError: A variable is invalid, or names no port.
    """
    from echo.configuration import SettingsError, read  # noqa: PLC0415 - Slow to load; a check of a target needs none.
    from echo.health.environment import OwnServer  # noqa: PLC0415

    try:
        return read(OwnServer, environ).target()
    except SettingsError as error:
        raise ValueError(str(error)) from None
