"""Servers that share a name, as the pods behind a headless Service do: each has seen calls that the others have not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import trio

from echo.probe.target import Target

MOST: Final = 32  # Addresses of a name.
PATIENCE: Final = 2.0  # Seconds for the name, and for each address.

_Address = tuple[int, str]


async def each_server(target: Target) -> Sequence[Target]:
    """The servers that a target's name has addresses of, or the target itself if that is not several.

    A server may have addresses of both families, so only those of one count; and only those that take connections.
    """
    try:
        with trio.fail_after(PATIENCE):
            found = await trio.socket.getaddrinfo(target.host, target.port, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError, trio.TooSlowError):
        return [target]
    addresses: Sequence[_Address] = [*dict.fromkeys((family, str(where[0])) for family, _, _, _, where in found)][:MOST]
    if len(addresses) < 2:
        return [target]
    reached: set[_Address] = set()

    async def reach(address: _Address) -> None:
        try:
            with trio.fail_after(PATIENCE):
                stream = await trio.open_tcp_stream(address[1], target.port)
        except (OSError, trio.TooSlowError):
            return
        await trio.aclose_forcefully(stream)
        reached.add(address)

    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(reach, address)
    alive = [address for address in addresses if address in reached]
    return [replace(target, host=host, name=target.host) for family, host in alive if family == alive[0][0]] or [target]
