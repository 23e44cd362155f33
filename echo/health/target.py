"""Which server to ask: the one named on the command line, or the one that this environment configures."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from echo.health.line import UNIX, Address

__all__ = ["Web", "own_server", "parse_address", "parse_url"]

_HOST_AND_PORT = re.compile(r"(?:\[([^][]+)\]|([^][:/]*)):([0-9]{1,5})", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Web:
    """A parsed URL: the address, the path with its query, and whether it is https."""

    address: Address
    path: str
    tls: bool


def parse_address(text: str) -> Address:
    """Parse ``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT`` on this machine, or ``unix:PATH``.

    Raises:
        ValueError: The text has none of these forms.
    """
    if text.startswith(UNIX) and text != UNIX:
        return Address(text.replace("unix://", UNIX, 1), 0)
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or not 0 < int(match[3]) <= 65535:
        raise ValueError(f"{text!r} is not HOST:PORT or unix:PATH")
    return Address(match[1] or match[2] or "localhost", int(match[3]))


def parse_url(text: str) -> Web:
    """Parse a gateway's URL; its path is ``/readyz`` by default.

    Raises:
        ValueError: The text is not a URL with http or https.
    """
    parts = urlsplit(text if "//" in text else f"http://{text}")
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not parts.path.isascii():
        raise ValueError(f"{text!r} is not http://HOST:PORT or https://HOST:PORT")
    address = Address(parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme])
    path = "/readyz" if parts.path in {"", "/"} else parts.path
    return Web(address, f"{path}?{parts.query}" if parts.query else path, parts.scheme == "https")


def own_server(environ: Mapping[str, str]) -> tuple[Address, bool]:
    """The address to ask a server with this environment, and whether it speaks TLS there (never on GRPC_HEALTH_PORT).

    Variables are read as the server reads them: surrounding blanks are removed, empty ones count as unset, and a port
    that Kubernetes has set for a Service (``tcp://10.0.0.1:8081``) is ignored.

    Raises:
        ValueError: A port is invalid.
    """
    given = {name: value.strip() for name, value in environ.items()}
    bind = given.get("GRPC_SERVER_BIND", "")
    health = _port(given, "GRPC_HEALTH_PORT", 0)
    if bind.startswith(UNIX) and not health:
        return parse_address(bind), bool(given.get("GRPC_SERVER_CERT"))
    host = "127.0.0.1" if bind in {"", "0.0.0.0"} else "localhost" if bind == "::" or bind.startswith(UNIX) else bind  # noqa: S104 - Compared.
    if health:
        return Address(host, health), False
    return Address(host, _port(given, "GRPC_SERVER_PORT", 8081)), bool(given.get("GRPC_SERVER_CERT"))


def _port(given: Mapping[str, str], name: str, default: int) -> int:
    value = given.get(name, "")
    if not value or "://" in value:
        return default
    if value.isascii() and value.isdigit() and len(value) <= 5 and 0 < int(value) <= 65535:
        return int(value)
    raise ValueError(f"{name}: {value!r} is not a port to call")
