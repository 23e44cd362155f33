"""Resolves a channel's targets to addresses.

`echo.targets` parses targets. A name can have several addresses, which change over time. So it is looked up again when
a connection must be replaced. An address that has not changed gives an equal `Endpoint`, and keeps its connection.
"""

import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Final

import anyio

from echo.rpc.dial import Dial, dial_tcp, dial_unix, reason
from echo.targets import MOST_TARGETS, Target, join, split
from echo.transport import TlsContext

log = logging.getLogger(__name__)

# The most addresses of a channel, as each can cost a connection.
MAX_ENDPOINTS: Final = MOST_TARGETS


@dataclass(frozen=True)
class Endpoint:
    """One address, and how to connect to it. Endpoints with the same address and authority are equal.

    Attributes:
        address: The address as text.
        authority: The ``:authority`` of calls to it.
        dial: Opens a stream to it.
    """

    address: str
    authority: str
    dial: Dial = field(compare=False)


Resolve = Callable[[], Awaitable[Sequence[Endpoint]]]
"""Finds the current endpoints, the preferred ones first. Raises OSError if there are none."""


class Resolver:
    """Finds the endpoints of some targets; an instance is a `Resolve`.

    Args:
        targets: The targets, the preferred ones first.
        tls: The context for TLS, or a function that returns it for each connection; None for plain text.
        server_hostname: The name the servers' certificates must have; by default the authority's host or the target's.
        authority: The ``:authority`` of calls; by default that of each target.

    Raises:
        ValueError: The authority is not ``HOST`` or ``HOST:PORT``.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        tls: TlsContext | None,
        server_hostname: str | None = None,
        authority: str | None = None,
    ) -> None:
        host = None if authority is None else split(authority)[0]
        self._targets = targets
        self._tls = tls
        self._authority = authority
        self._server_name = server_hostname or host

    async def __call__(self) -> Sequence[Endpoint]:
        """Look up all targets at once. Those that are not found are left out.

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
    except UnicodeError as error:  # Python's IDNA codec refuses empty and long labels.
        raise OSError(f"{host!r} is not a host name") from error
    except RuntimeError as error:  # No thread can be started for it: the process has as many as it may.
        raise OSError(str(error)) from error
    return [(str(address[0]), int(address[1])) for *_, address in found]
