"""From what a user calls a server to the addresses where it may be found.

``localhost``, ``10.0.0.1:8081``, ``[::1]:8081``, ``unix:/run/echo.sock`` are targets; several may be given. A target
that is a name can have several addresses, and other ones tomorrow, so it is looked up again when a connection is to be
replaced. An address that was there before is known again by its `Endpoint` being equal, and keeps its connection.
"""

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import AddressValueError, IPv6Address, ip_address
from typing import Final

import anyio

from echo.rpc.dial import Dial, dial_tcp, dial_unix, reason

log = logging.getLogger(__name__)

UNIX: Final = "unix:"
# What calls over a Unix socket say of the server's name, which has none; other gRPC clients say the same.
LOCALHOST: Final = "localhost"
# More of a name are left out: each can cost a connection.
MAX_ENDPOINTS: Final = 64


@dataclass(frozen=True)
class Endpoint:
    """One address, and how to get there. Two are equal if they lead to the same server by the same name.

    Attributes:
        address: For people.
        authority: What calls take the server's name to be.
        dial: Opens a stream to it.
    """

    address: str
    authority: str
    dial: Dial = field(compare=False)


Resolve = Callable[[], Awaitable[Sequence[Endpoint]]]
"""Finds the endpoints as they are now, the preferred ones first. Raises OSError if there are none to be found."""


@dataclass(frozen=True)
class Target:
    """Where a user says that a server is.

    Attributes:
        host: A name, an address, or the path of a Unix socket.
        port: The port; None for a Unix socket.
    """

    host: str
    port: int | None

    def __str__(self) -> str:
        return f"{UNIX}{self.host}" if self.port is None else join(self.host, self.port)

    @property
    def name(self) -> str:
        """What the server's certificate should say."""
        return LOCALHOST if self.port is None else self.host

    @property
    def authority(self) -> str:
        """What calls take the server's name to be."""
        return LOCALHOST if self.port is None else str(self)


def join(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if _is_ipv6(host) else f"{host}:{port}"


def parse_targets(hosts: str | Sequence[str], port: int) -> list[Target]:
    """Read what a user gives as hosts.

    Args:
        hosts: One host, several separated by commas, or a sequence of such as are one each. A host is a name or an
            address, with a port or without, an IPv6 address with a port in brackets; or ``unix:`` and a path.
        port: For those without a port of their own.

    Raises:
        ValueError: There is none, or one that is nothing of that.
    """
    given = [host.strip() for host in hosts.split(",")] if isinstance(hosts, str) else list(hosts)
    if not given:
        raise ValueError("there is no host to connect to")
    return list(dict.fromkeys(_parse(host, port) for host in given))


def _parse(text: str, default_port: int) -> Target:
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if path.startswith("//"):
            path = path[2:]
            if not path.startswith("/"):
                raise ValueError(f"{text!r}: {UNIX}// must be followed by an absolute path")
            path = "/" + path.lstrip("/")
        if not path or "\0" in path:
            raise ValueError(f"{text!r} names no Unix socket")
        return Target(path, None)
    bare = _is_ipv6(text)
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]") or bare:
        host, port = text, str(default_port)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ipv6(host):
            raise ValueError(f"{text!r}: what stands in brackets is no IPv6 address")
    elif not bare and (
        not host or any(character in ":[]/@" or character.isspace() or character == "\0" for character in host)
    ):
        raise ValueError(f"{text!r} is neither HOST, HOST:PORT, [IPV6]:PORT nor unix:PATH")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise ValueError(f"{text!r}: {port!r} is no port")
    return Target(host, int(port))


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except AddressValueError:
        return False
    return True


class Resolver:
    """Finds the endpoints of some targets; an instance is a `Resolve`.

    Args:
        targets: Where to look, the preferred ones first.
        tls: For connections by TLS.
        server_hostname: The name the servers' certificates must have, if not that of the target.
    """

    def __init__(self, targets: Sequence[Target], tls: ssl.SSLContext | None, server_hostname: str | None) -> None:
        self._targets = targets
        self._tls = tls
        self._server_hostname = server_hostname

    async def __call__(self) -> Sequence[Endpoint]:
        """Look all of them up, at once. One that is not found is of no consequence while another is.

        Raises:
            OSError: None was found.
        """
        found: dict[Target, list[Endpoint]] = {}
        failures: list[OSError] = []

        async def find(target: Target) -> None:
            try:
                found[target] = await self._find(target)
            except OSError as error:
                log.debug("%s was not found: %s", target, reason(error))
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            for target in self._targets:
                tasks.start_soon(find, target)
        if not found:
            raise failures[0]
        return [endpoint for target in self._targets for endpoint in found.get(target, ())]

    async def _find(self, target: Target) -> list[Endpoint]:
        name = self._server_hostname or target.name
        if target.port is None:
            return [Endpoint(str(target), target.authority, partial(dial_unix, target.host, self._tls, name))]
        return [
            Endpoint(join(host, port), target.authority, partial(dial_tcp, host, port, self._tls, name))
            for host, port in await _look_up(target.host, target.port)
        ]


async def _look_up(host: str, port: int) -> list[tuple[str, int]]:
    try:
        return [(str(ip_address(host)), port)]
    except ValueError:
        pass  # It is a name.
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # Of the codec for international names, which refuses empty and long labels.
        raise OSError(f"{host!r} is no name of a host") from error
    return [(str(address[0]), int(address[1])) for *_, address in found]
