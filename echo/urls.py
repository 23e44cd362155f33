"""What URLs are made of: hosts, the ports that schemes imply, and origins."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from echo.targets import is_ipv6, join

__all__ = ["ANYWHERE", "DEFAULT_PORTS", "is_host", "loopback_of", "origin_of"]

ANYWHERE: Final = "0.0.0.0"  # noqa: S104 - Where echo listens by default, as documented.
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_LABEL: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)


def is_host(text: str) -> bool:
    """Whether this is a host name or an IP address, without brackets."""
    if is_ipv6(text):
        return True
    try:
        encoded = text.encode("idna")  # Refuses labels that are too long.
        if not text.isascii():
            import idna  # noqa: PLC0415 - Its tables take long to load, and most names are ASCII.

            idna.encode(text, uts46=True)  # As those who look a name up do.
    except UnicodeError:
        return False
    return len(encoded) <= 253 and all(_LABEL.fullmatch(label) for label in text.removesuffix(".").split("."))


def loopback_of(bind: str) -> str:
    """The host that reaches, from this machine, what listens on an address: loopback if it listens on all of them."""
    try:
        address = ip_address(bind)
    except ValueError:
        return bind
    return bind if not address.is_unspecified else "127.0.0.1" if address.version == 4 else "::1"


def origin_of(text: str) -> str | None:
    """Normalise an origin (RFC 6454 §6.2): lower case, without the scheme's default port; None if it is invalid."""
    text = text.lower()
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:  # Unmatched brackets, or an invalid port.
        return None
    if not _SCHEME.fullmatch(scheme) or not is_host(host) or text != f"{scheme}://{join(host, port)}":
        return None  # The last of these: there is something else in it, such as a path or a user.
    return f"{scheme}://{join(host, None if port == DEFAULT_PORTS.get(scheme) else port)}"
