"""Parses gRPC targets, the text that names servers, for channels and for the gateway's settings.

Targets have gRPC's forms (its document "gRPC Name Resolution") and two shorter ones:

    HOST  HOST:PORT  ADDRESS  [IPV6]:PORT               a name or an address
    dns:HOST[:PORT]  dns:///HOST[:PORT]                 a name
    ipv4:ADDRESS[:PORT],...  ipv6:[ADDRESS]:PORT,...    addresses
    unix:PATH  unix:///PATH                             a Unix socket
    unix-abstract:NAME                                  a Unix socket without a file (Linux)

Commas separate several targets. gRPC uses port 443 for targets without a port; here the caller supplies the default.
``dns:8081`` is port 8081 of a host called ``dns``, as no host's name is all digits. ``dns://SERVER/HOST``, which names
the DNS server to ask, is refused. Nothing is looked up or opened here.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

__all__ = [
    "DEFAULT_PORT",
    "FORMS",
    "MOST_TARGETS",
    "UNIX",
    "Target",
    "TargetError",
    "is_ipv6",
    "join",
    "parse_targets",
    "read_targets",
    "split",
    "unix_path",
]

DEFAULT_PORT: Final = 8081  # Of echo's gRPC server.

MOST_TARGETS: Final = 64  # Of a channel: each can cost a connection.

DNS: Final = "dns:"
UNIX: Final = "unix:"
ABSTRACT: Final = "unix-abstract:"
LOCALHOST: Final = "localhost"  # The server's name in calls over a Unix socket, as in other gRPC clients.
FORMS: Final = "a server (HOST, HOST:PORT or unix:PATH; separate several with commas)"

MAX_SOCKET_PATH: Final = 107  # Bytes in Linux's sockaddr_un, without the terminating zero (unix(7)).

_HOST_AND_PORT: Final = re.compile(r"(?:\[(?P<ipv6>[^][]*)\]|(?P<host>[^][:/@\s\0]+))(?::(?P<port>[0-9]{1,5}))?")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


class TargetError(ValueError):
    """An invalid target.

    Args:
        text: The target.
        why: What is wrong with it, as the rest of a sentence that begins with the target.
    """

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"{text!r} {why}")
        self.text = text
        self.why = why


@dataclass(frozen=True)
class Target:
    """A server's location as the user wrote it.

    Attributes:
        host: A name or an address; for a Unix socket its path, or a zero byte and its abstract name.
        port: The port, 0 if none was given; None for a Unix socket.
    """

    host: str
    port: int | None

    def __str__(self) -> str:
        """Text that parses to the same target."""
        if self.port is None:
            return f"{ABSTRACT}{self.host[1:]}" if self.host.startswith("\0") else f"{UNIX}{self.host}"
        if not self.port:
            return self.host
        scheme = DNS if f"{self.host}:" in (UNIX, ABSTRACT) else ""  # Otherwise a host called "unix" reads as a path.
        return scheme + join(self.host, self.port)

    @property
    def name(self) -> str:
        """The name that the server's certificate must be valid for."""
        return LOCALHOST if self.port is None else self.host

    @property
    def authority(self) -> str:
        """The ``:authority`` of calls to this target."""
        if self.port is None:
            return LOCALHOST
        return join(self.host, self.port) if self.port else self.host

    def at(self, port: int) -> "Target":
        """The same target, with this port if it has none."""
        return replace(self, port=port) if self.port == 0 else self


def join(host: str, port: int | None) -> str:
    """``host:port``, or the host alone without one; with an IPv6 address in brackets (RFC 3986 §3.2.2)."""
    bare = f"[{host}]" if ":" in host else host
    return bare if port is None else f"{bare}:{port}"


def parse_targets(hosts: str | Sequence[str], port: int) -> list[Target]:
    """Like `read_targets`, without duplicates; targets that have no port get ``port``.

    Raises:
        TargetError: One of them is invalid.
        ValueError: There is no target, or the port is needed but invalid.
        TypeError: The port is not a number.
    """
    if not isinstance(port, int):
        raise TypeError(f"port must be a number, not {port!r}")
    targets = read_targets(hosts)
    if not 0 < port < 65_536:
        for target in targets:
            if target.port == 0:
                raise ValueError(f"{target.host!r}: '{port}' is not a port")
    return list(dict.fromkeys(target.at(port) for target in targets))


def read_targets(hosts: str | Sequence[str]) -> list[Target]:
    """Parse targets, in order.

    Args:
        hosts: Targets separated by commas, or a sequence of targets, whose paths may contain commas.

    Raises:
        TargetError: One of them is invalid.
        ValueError: The sequence is empty.
    """
    if isinstance(hosts, str):
        return _read_list(hosts)
    if not hosts:
        raise ValueError("no host given")
    targets: list[Target] = []
    for host in hosts:
        targets += _read_list(host) if _family_of(host) else [_read(host)]
    return targets


def unix_path(text: str) -> str:
    """The path in ``unix:PATH`` or ``unix:///PATH``.

    Raises:
        ValueError: It is missing or too long; the message is the rest of a sentence that begins with the text.
    """
    path = text.removeprefix(UNIX)
    if path.startswith("//"):
        path = path[2:]
        if not path.startswith("/"):
            raise ValueError("has no absolute path after unix://")
        path = "/" + path.lstrip("/")  # A path that begins with two slashes would not survive `str()` and parsing.
    _check_socket(path, "(unix:PATH)")
    return path


def split(authority: str) -> tuple[str, int | None]:
    """The host, without the brackets of an IPv6 address, and the port of ``HOST`` or ``HOST:PORT``.

    Raises:
        ValueError: The authority has neither form.
    """
    match = _HOST_AND_PORT.fullmatch(authority) if authority.isascii() and authority.isprintable() else None
    if match is None or (match["ipv6"] is not None and not is_ipv6(match["ipv6"])):
        raise ValueError(f"the authority {authority!r} is not HOST or HOST:PORT")
    return match["ipv6"] or match["host"], None if match["port"] is None else int(match["port"])


def _read_list(text: str) -> list[Target]:
    """Parse targets separated by commas. ``ipv4:`` and ``ipv6:`` also apply to the addresses after them."""
    targets: list[Target] = []
    family = ""
    for part in text.split(","):
        part = part.strip()
        if _family_of(part):
            family = _family_of(part)
        elif part.startswith((DNS, UNIX, ABSTRACT)):
            family = ""
        elif family:
            part = family + part
        targets.append(_read(part))
    return targets


def _read(text: str) -> Target:
    try:
        return _read_one(text)
    except ValueError as error:
        raise TargetError(text, str(error)) from None


def _read_one(text: str) -> Target:
    """Parse one target; an error's message is the rest of a sentence that begins with it."""
    if text.startswith(ABSTRACT):
        name = text.removeprefix(ABSTRACT)
        _check_socket(name, "(unix-abstract:NAME)")
        return Target("\0" + name, None)
    if text.startswith(UNIX):
        return Target(unix_path(text), None)
    if family := _family_of(text):
        target = _host_and_port(text.removeprefix(family))
        if not (is_ipv6(target.host) if family == "ipv6:" else _is_ipv4(target.host)):
            raise ValueError(f"has no IPv{family[3]} address after {family}")
        return target
    if text.startswith(DNS) and not _is_port(text.removeprefix(DNS)):
        return _host_and_port(_dns_name(text.removeprefix(DNS)))
    if scheme := _SCHEME.match(text):
        raise ValueError(f"is not {FORMS}: {scheme[0]} is not a scheme of gRPC's targets")
    return _host_and_port(text)


def _dns_name(rest: str) -> str:
    """``HOST[:PORT]`` in the text after ``dns:``."""
    if not rest.startswith("//"):
        return rest.removeprefix("/")
    server, _, name = rest[2:].partition("/")
    if server:
        raise ValueError("names a DNS server to ask, which is not supported: write dns:///HOST")
    return name


def _host_and_port(text: str) -> Target:
    if is_ipv6(text):
        return Target(text, 0)
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f"is not {FORMS}")
    if match["ipv6"] is not None and not is_ipv6(match["ipv6"]):
        raise ValueError(f"is not {FORMS}: no IPv6 address in brackets")
    port = match["port"]
    if port is not None and not 0 < int(port) < 65_536:
        raise ValueError(f"is not {FORMS}: {port} is not a port")
    return Target(match["ipv6"] or match["host"], int(port or 0))


def _family_of(text: str) -> str:
    """``ipv4:`` or ``ipv6:`` if the text begins with it and is not a host called that with a port; else empty."""
    family = text[:5]
    return family if family in ("ipv4:", "ipv6:") and not _is_port(text[5:]) else ""


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True


def is_ipv6(host: str) -> bool:
    """Whether this is an IPv6 address, without brackets."""
    try:
        IPv6Address(host)
    except AddressValueError:
        return False
    return not any(character in "[]/@\0" or character.isspace() for character in host)  # Python accepts any zone.


def _check_socket(path: str, form: str) -> None:
    """Raise ValueError unless the path or abstract name can be a Unix socket's."""
    try:
        size = len(os.fsencode(path))
    except UnicodeEncodeError:
        size = 0
    if not size or "\0" in path:
        raise ValueError(f"does not name a Unix socket {form}")
    if size > MAX_SOCKET_PATH:
        raise ValueError(f"is too long for a Unix socket (at most {MAX_SOCKET_PATH} bytes)")
