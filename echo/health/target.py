"""Which server to ask: the one named on the command line, or the one that this environment configures."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from echo.targets import DEFAULT_PORT, UNIX, Target, read_targets
from echo.urls import ANYWHERE, DEFAULT_PORTS, loopback_of

__all__ = ["Web", "own_server", "parse_address", "parse_url"]


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
        if target.port != 0:
            return target
    except ValueError:  # Several targets are not an address either.
        pass
    raise ValueError(f"{text!r} is not HOST:PORT or unix:PATH")


def parse_url(text: str) -> Web:
    """Parse a gateway's URL; its path is ``/readyz`` by default.

    Raises:
        ValueError: The text is not a URL with http or https.
    """
    parts = urlsplit(text if "//" in text else f"http://{text}")
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or not parts.path.isascii():
        raise ValueError(f"{text!r} is not http://HOST:PORT or https://HOST:PORT")
    address = Target(parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])
    path = "/readyz" if parts.path in {"", "/"} else parts.path
    return Web(address, f"{path}?{parts.query}" if parts.query else path, parts.scheme == "https")


def own_server(environ: Mapping[str, str]) -> tuple[Target, bool]:
    """The address to ask a server with this environment, and whether it speaks TLS there (never on GRPC_HEALTH_PORT).

    Variables are read as the server reads them: surrounding blanks are removed, empty ones count as unset, and a port
    that Kubernetes has set for a Service (``tcp://10.0.0.1:8081``) is ignored.

    Raises:
        ValueError: A port is invalid.
    """
    given = {name: value.strip() for name, value in environ.items()}
    bind = given.get("GRPC_SERVER_BIND") or ANYWHERE
    health = _port(given, "GRPC_HEALTH_PORT", 0)
    if bind.startswith(UNIX) and not health:
        return parse_address(bind), bool(given.get("GRPC_SERVER_CERT"))
    host = loopback_of(ANYWHERE if bind.startswith(UNIX) else bind)
    if health:
        return Target(host, health), False
    return Target(host, _port(given, "GRPC_SERVER_PORT", DEFAULT_PORT)), bool(given.get("GRPC_SERVER_CERT"))


def _port(given: Mapping[str, str], name: str, default: int) -> int:
    value = given.get(name, "")
    if not value or "://" in value:
        return default
    if value.isascii() and value.isdigit() and len(value) <= 5 and 0 < int(value) <= 65535:
        return int(value)
    raise ValueError(f"{name}: {value!r} is not a port to call")
