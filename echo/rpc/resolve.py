"""From what a user calls a server to the addresses where it may be found.

How targets are written is in `echo.targets`. A target that is a name can have several addresses, and others tomorrow,
so it is looked up again when a connection is to be replaced. An address that was there before is recognised by an
equal `Endpoint`, and keeps its connection.
"""

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Final

import anyio

from echo.rpc.dial import Dial, dial_tcp, dial_unix, reason
from echo.targets import MOST_TARGETS, Target, join, split

log = logging.getLogger(__name__)

# More of a name are left out.
MAX_ENDPOINTS: Final = MOST_TARGETS


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


class Resolver:
    """Finds the endpoints of some targets; an instance is a `Resolve`.

    Args:
        targets: Where to look, the preferred ones first.
        tls: For connections by TLS.
        server_hostname: The name the servers' certificates must have, if not that of the authority or the target.
        authority: What calls take the servers' name to be, if not that of the target.

    Raises:
        ValueError: The authority is not ``HOST`` or ``HOST:PORT``.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        tls: ssl.SSLContext | None,
        server_hostname: str | None = None,
        authority: str | None = None,
    ) -> None:
        host = None if authority is None else split(authority)[0]
        self._targets = targets
        self._tls = tls
        self._authority = authority
        self._server_name = server_hostname or host

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
        name = self._server_name or target.name
        authority = self._authority or target.authority
        if target.port is None:
            return [Endpoint(str(target), authority, partial(dial_unix, target.host, self._tls, name))]
        return [
            Endpoint(join(host, port), authority, partial(dial_tcp, host, port, self._tls, name))
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
