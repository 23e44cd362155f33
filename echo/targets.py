"""How people write where gRPC servers are: read here for channels and for the gateway's settings alike.

Targets have gRPC's forms (its document "gRPC Name Resolution") and two shorter ones:

    HOST  HOST:PORT  ADDRESS  [IPV6]:PORT               a name or an address
    dns:HOST[:PORT]  dns:///HOST[:PORT]                 a name
    ipv4:ADDRESS[:PORT],...  ipv6:[ADDRESS]:PORT,...    addresses
    unix:PATH  unix:///PATH                             a Unix socket
    unix-abstract:NAME                                  a Unix socket without a file (Linux)

Several targets can be given, separated by commas. gRPC uses port 443 for targets without a port; here the caller says
which. ``dns:8081`` is port 8081 of a host called ``dns``: no host has a name of digits only. ``dns://SERVER/HOST``,
which asks a DNS server of the user's choice, is refused. Nothing is looked up or opened here.
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
# What calls over a Unix socket take the server's name to be, as other gRPC clients do.
LOCALHOST: Final = "localhost"
FORMS: Final = "a server (HOST, HOST:PORT or unix:PATH; separate several with commas)"

LONGEST_SOCKET: Final = 107  # Bytes of a path in Linux's sockaddr_un, without the zero that ends it (unix(7)).

_HOST_AND_PORT: Final = re.compile(r"(?:\[(?P<ipv6>[^][]*)\]|(?P<host>[^][:/@\s\0]+))(?::(?P<port>[0-9]{1,5}))?")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


class TargetError(ValueError):
    """A target that is none.

    Args:
        text: The target.
        why: What is wrong with it: the rest of a sentence that begins with it.
    """

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"{text!r} {why}")
        self.text = text
        self.why = why


@dataclass(frozen=True)
class Target:
    """Where a user says that a server is.

    Attributes:
        host: A name or an address; of a Unix socket, its path, or its abstract name after a zero byte.
        port: The port, 0 if none was given; None for a Unix socket.
    """

    host: str
    port: int | None

    def __str__(self) -> str:
        """In a form that is read as the same target."""
        if self.port is None:
            return f"{ABSTRACT}{self.host[1:]}" if self.host.startswith("\0") else f"{UNIX}{self.host}"
        if not self.port:
            return self.host
        scheme = DNS if f"{self.host}:" in (UNIX, ABSTRACT) else ""  # Or a host called "unix" were read as a path.
        return scheme + join(self.host, self.port)

    @property
    def name(self) -> str:
        """What the server's certificate should say."""
        return LOCALHOST if self.port is None else self.host

    @property
    def authority(self) -> str:
        """What calls take the server's name to be."""
        if self.port is None:
            return LOCALHOST
        return join(self.host, self.port) if self.port else self.host

    def at(self, port: int) -> "Target":
        """The same target, with this port if it has none of its own."""
        return replace(self, port=port) if self.port == 0 else self


def join(host: str, port: int | None) -> str:
    """``host:port``, or the host alone without one; with an IPv6 address in brackets (RFC 3986 §3.2.2)."""
    bare = f"[{host}]" if ":" in host else host
    return bare if port is None else f"{bare}:{port}"


def parse_targets(hosts: str | Sequence[str], port: int) -> list[Target]:
    """As `read_targets`; those without a port get this one.

    Raises:
        TargetError: One of them is invalid.
        ValueError: There is no target, or the port is invalid.
    """
    targets = read_targets(hosts)
    if not 0 < port < 65_536:
        for target in targets:
            if target.port == 0:
                raise ValueError(f"{target.host!r}: '{port}' is no port")
    return list(dict.fromkeys(target.at(port) for target in targets))


def read_targets(hosts: str | Sequence[str]) -> list[Target]:
    """The targets in what a user gives as hosts, in their order.

    Args:
        hosts: Targets separated by commas; or a sequence of targets, whose paths may contain commas.

    Raises:
        TargetError: One of them is invalid.
        ValueError: There is none.
    """
    if isinstance(hosts, str):
        return _read_list(hosts)
    if not hosts:
        raise ValueError("there is no host to connect to")
    targets: list[Target] = []
    for host in hosts:
        targets += _read_list(host) if _family_of(host) else [_read(host)]
    return targets


def unix_path(text: str) -> str:
    """The path in ``unix:PATH`` or ``unix:///PATH``.

    Raises:
        ValueError: There is none, or it is too long; the rest of a sentence that begins with the text.
    """
    path = text.removeprefix(UNIX)
    if path.startswith("//"):
        path = path[2:]
        if not path.startswith("/"):
            raise ValueError("has no absolute path after unix://")
        path = "/" + path.lstrip("/")  # Or it would have the form with two slashes again when it is written out.
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
    """Targets separated by commas. Addresses after one with ``ipv4:`` or ``ipv6:`` belong to it."""
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
    """One target; errors are the rest of a sentence that begins with it."""
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
        raise ValueError(f"is not {FORMS}: no target begins with {scheme[0]}")
    return _host_and_port(text)


def _dns_name(rest: str) -> str:
    """``HOST[:PORT]`` of what follows ``dns:``."""
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
        raise ValueError(f"is not {FORMS}: {port} is no port")
    return Target(match["ipv6"] or match["host"], int(port or 0))


def _family_of(text: str) -> str:
    """``ipv4:`` or ``ipv6:`` if the text begins so, and is not a host of that name with a port; else nothing."""
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
    return not any(character in "[]/@\0" or character.isspace() for character in host)  # Python takes any zone.


def _check_socket(path: str, form: str) -> None:
    """Refuse what cannot be the path or the name of a Unix socket."""
    try:
        size = len(os.fsencode(path))
    except UnicodeEncodeError:
        size = 0
    if not size or "\0" in path:
        raise ValueError(f"does not name a Unix socket {form}")
    if size > LONGEST_SOCKET:
        raise ValueError(f"is too long a path for a Unix socket (at most {LONGEST_SOCKET} bytes)")
