"""Text to value, continued: ports, hosts, servers, places to listen, files and origins.

As in `echo.settings.values`, every ``to_...`` function takes what a person wrote, or a value of the right type from
Python, and raises `ValueError` with the rest of a sentence that begins with the value. Nothing is looked up or opened.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

UNIX = "unix:"

_HOST_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
_ORIGIN_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_HOST_AND_PORT = re.compile(r"(?:\[([^][]+:[^][]*)\]|([^][:]+))(?::([0-9]{1,5}))?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_SOCKET = 107  # Bytes of a path that fit into Linux's sockaddr_un beside the zero at its end (unix(7)).
_MOST_SERVERS = 64


class Server(NamedTuple):
    """One server to call.

    Attributes:
        host: Its name or address, or ``unix:`` and the path of its socket.
        port: Its own port, if it has one.
    """

    host: str
    port: int | None

    @property
    def name(self) -> str:
        """What its certificate should say; there are no names on a Unix socket, where it is ``localhost``."""
        return "localhost" if self.host.startswith(UNIX) else self.host

    @property
    def needs_port(self) -> bool:
        """It is called on a port, and has none of its own."""
        return self.port is None and not self.host.startswith(UNIX)


def to_port(value: object) -> int:
    """Read a TCP port. Port 0 asks the operating system for a free one."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value, re.ASCII):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535:
        return value
    if isinstance(value, str) and re.match(r"(?:tcp|udp|sctp)://", value):
        # As `echo.settings.environment` recognises it, but without its companions.
        hint = "Kubernetes sets such values for a Service of this name: turn that off by enableServiceLinks: false"
        raise ValueError(f"is not a port (0 to 65535). {hint}")
    raise ValueError("is not a port (0 to 65535)")


def to_host(value: object) -> str:
    """Read a host name or an IP address, without scheme, brackets or port."""
    if isinstance(value, str) and (_is_address(value) or _is_host_name(value)):
        return value
    raise ValueError("is not a host name or an IP address")


def to_bind(value: object) -> str:
    """Read where to listen: a host as `to_host` has it, or ``unix:`` and a path.

    Returns:
        The host; or ``unix:`` and the path, in that form also for ``unix:///run/echo.sock``.
    """
    if isinstance(value, str) and value.startswith(UNIX):
        return _unix(value)
    if isinstance(value, str) and (_is_address(value) or _is_host_name(value)):
        return value
    raise ValueError("is not a host name, an IP address or unix:PATH")


def to_servers(value: object) -> str:
    """Read which servers to call: one, or several separated by commas.

    Each is a name or an address, with ``:PORT`` behind it or without (then brackets around an IPv6 address), or
    ``unix:`` and a path, in which there can be no comma.

    Returns:
        The same without spaces.
    """
    if not isinstance(value, str):
        raise ValueError("is not a server (HOST, HOST:PORT or unix:PATH; separate several with commas)")
    servers = split_servers(value)
    if len(servers) > _MOST_SERVERS:
        raise ValueError(f"lists too many servers (at most {_MOST_SERVERS})")
    return ",".join(_written(server) for server in servers)


def split_servers(text: str) -> list[Server]:
    """The servers in what `to_servers` takes or gives.

    Raises:
        ValueError: One of them is none.
    """
    return [_server(part.strip(), alone="," not in text) for part in text.split(",")]


def to_path(value: object) -> Path:
    """Read the path of a file. Whether it is there shows when it is used."""
    if isinstance(value, (str, Path)) and str(value) and "\0" not in str(value):
        return Path(value)
    raise ValueError("is not the path of a file")


def to_origins(value: object) -> tuple[str, ...]:
    """Read comma-separated origins (``https://example.com``), ``*`` for any, or ``null``.

    Returns:
        Each as browsers write it in ``Origin`` (RFC 6454 §6.2): lower case, without the default port.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, (list, tuple)):
        return tuple(dict.fromkeys(_origin(part) for part in value))
    raise ValueError("is not a list of origins")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "\0" not in text  # Python takes anything as the zone of an IPv6 address.


def _is_host_name(text: str) -> bool:
    try:
        encoded = text.encode("idna")  # As the resolver will do it; refuses what is too long.
    except UnicodeError:
        return False
    return len(encoded) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in text.removesuffix(".").split("."))


def _unix(text: str) -> str:
    """``unix:PATH`` of that or of ``unix:///PATH``, the two forms of gRPC's names."""
    path = text.removeprefix(UNIX)
    if path.startswith("//"):
        path = path[2:]
        if not path.startswith("/"):
            raise ValueError("has no absolute path after unix://")
        path = "/" + path.lstrip("/")  # Or what is returned would be of the form with the two slashes again.
    try:
        size = len(os.fsencode(path))
    except UnicodeEncodeError:
        size = 0
    if not size or "\0" in path:
        raise ValueError("does not name a Unix socket (unix:PATH)")
    if size > _LONGEST_SOCKET:
        raise ValueError(f"is too long a path for a Unix socket (at most {_LONGEST_SOCKET} bytes)")
    return UNIX + path


def _server(text: str, *, alone: bool) -> Server:
    if text.startswith(UNIX):
        return Server(_unix(text), None)
    if _is_address(text) or _is_host_name(text):
        return Server(text, None)
    if match := _HOST_AND_PORT.fullmatch(text):
        ipv6, other, digits = match.groups()
        known = _is_address(ipv6) if ipv6 else _is_address(other) or _is_host_name(other)
        port = int(digits) if digits else None
        if known and (port is None or 1 <= port <= 65535):
            return Server(ipv6 or other, port)
    what = "a server (HOST, HOST:PORT or unix:PATH; separate several with commas)"
    raise ValueError(f"is not {what}" if alone else f"holds {text!r}, which is not {what}")


def _written(server: Server) -> str:
    host = f"[{server.host}]" if server.port is not None and ":" in server.host else server.host
    return host if server.port is None else f"{host}:{server.port}"


def _origin(value: object) -> str:
    """One origin as a browser would write it."""
    text = value.lower() if isinstance(value, str) else ""
    if text in {"*", "null"}:
        return text
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:  # Brackets that don't match, a port that is none.
        scheme, host, port = "", "", None
    if _ORIGIN_SCHEME.fullmatch(scheme) and (_is_host_name(host) or _is_address(host)):
        bare = f"{scheme}://[{host}]" if ":" in host else f"{scheme}://{host}"
        spelled = bare if port is None else f"{bare}:{port}"
        if spelled == text:  # Nothing else was in it, such as a path or a user.
            return bare if port == _DEFAULT_PORTS.get(scheme) else spelled
    raise ValueError(f"holds {value!r}, which is not an origin (such as https://example.com, or * for any)")
