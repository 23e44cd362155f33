"""Parsers for settings, continued: ports, hosts, servers, bind addresses, files and origins.

As in `echo.settings.values`, every ``to_...`` function takes the user's text, or a Python value of the right type, and
raises `ValueError` with a message that completes a sentence beginning with the value. Nothing is resolved or opened.
"""

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from echo.targets import FORMS, UNIX, TargetError, authority_host, read_targets, unix_path

_HOST_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
_ORIGIN_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_SERVERS = 64


def to_port(value: object) -> int:
    """Parse a TCP port. Port 0 asks the operating system for a free one."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value, re.ASCII):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535:
        return value
    if isinstance(value, str) and re.match(r"(?:tcp|udp|sctp)://", value):
        # The form that `echo.settings.environment` recognises, but without the companion variables.
        hint = "Kubernetes sets such values for a Service of this name: turn that off by enableServiceLinks: false"
        raise ValueError(f"is not a port (0 to 65535). {hint}")
    raise ValueError("is not a port (0 to 65535)")


def to_host(value: object) -> str:
    """Parse a host name or an IP address, without scheme, brackets or port."""
    if isinstance(value, str) and (_is_address(value) or _is_host_name(value)):
        return value
    raise ValueError("is not a host name or an IP address")


def to_bind(value: object) -> str:
    """Parse a bind address: a host as in `to_host`, or ``unix:`` and a path.

    Returns:
        The host; or ``unix:`` and the path, also for input such as ``unix:///run/echo.sock``.
    """
    if isinstance(value, str) and value.startswith(UNIX):
        return UNIX + unix_path(value)
    if isinstance(value, str) and (_is_address(value) or _is_host_name(value)):
        return value
    raise ValueError("is not a host name, an IP address or unix:PATH")


def to_servers(value: object) -> str:
    """Parse the servers to call: comma-separated targets in the forms of `echo.targets`.

    Returns:
        The targets in their shortest forms, without spaces.
    """
    if not isinstance(value, str):
        raise ValueError(f"is not {FORMS}")
    try:
        targets = read_targets(value)
        for target in targets:
            if target.port is not None and not (_is_address(target.host) or _is_host_name(target.host)):
                raise TargetError(target.host, f"is not {FORMS}")
    except TargetError as error:
        raise ValueError(error.why if "," not in value else f"holds {error.text!r}, which {error.why}") from None
    if len(targets) > _MOST_SERVERS:
        raise ValueError(f"lists too many servers (at most {_MOST_SERVERS})")
    return ",".join(map(str, targets))


def to_authority(value: object) -> str:
    """Parse ``HOST`` or ``HOST:PORT``, the server's name in requests."""
    try:
        host = authority_host(value) if isinstance(value, str) else ""
    except ValueError:
        host = ""
    if isinstance(value, str) and (_is_address(host) or _is_host_name(host)):
        return value
    raise ValueError("is not HOST or HOST:PORT")


def to_path(value: object) -> Path:
    """Parse the path of a file, without checking that the file exists."""
    if isinstance(value, (str, Path)) and str(value) and "\0" not in str(value):
        return Path(value)
    raise ValueError("is not the path of a file")


def to_origins(value: object) -> tuple[str, ...]:
    """Parse comma-separated origins (``https://example.com``), ``*`` for any, or ``null``.

    Returns:
        The origins as browsers send them in ``Origin`` (RFC 6454 §6.2): lower case, without the default port.
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
    return "\0" not in text  # Python accepts anything as an IPv6 address's zone.


def _is_host_name(text: str) -> bool:
    try:
        encoded = text.encode("idna")  # As the resolver does; refuses labels that are too long.
    except UnicodeError:
        return False
    return len(encoded) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in text.removesuffix(".").split("."))


def _origin(value: object) -> str:
    """Parse one origin."""
    text = value.lower() if isinstance(value, str) else ""
    if text in {"*", "null"}:
        return text
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:  # Unmatched brackets, or an invalid port.
        scheme, host, port = "", "", None
    if _ORIGIN_SCHEME.fullmatch(scheme) and (_is_host_name(host) or _is_address(host)):
        bare = f"{scheme}://[{host}]" if ":" in host else f"{scheme}://{host}"
        spelled = bare if port is None else f"{bare}:{port}"
        if spelled == text:  # Nothing else was in it, such as a path or a user.
            return bare if port == _DEFAULT_PORTS.get(scheme) else spelled
    raise ValueError(f"holds {value!r}, which is not an origin (such as https://example.com, or * for any)")
