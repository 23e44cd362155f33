"""Which of a name's addresses a program can listen on.

In most containers ``/etc/hosts`` has ``::1`` for ``localhost``, too, while the kernel has IPv6 turned off or was built
without it. To listen on a name means to listen on all its addresses, so it would fail for the one that is not there.
"""

import errno
import ipaddress
import socket
from typing import Final

import trio

__all__ = ["listening_host"]

_MISSING: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


async def listening_host(host: str) -> str:
    """The host as it is, if this machine has all its addresses or none of them; else the first that it has.

    Raises:
        OSError: The name is not known.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        found = await trio.socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    else:
        return host
    addresses = [address for family, kind, _, _, address in found if _is_here(family, kind, address)]
    return host if len(addresses) in {0, len(found)} else str(addresses[0][0])


def _is_here(family: int, kind: int, address: tuple[object, ...]) -> bool:
    try:
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError as error:
        return error.errno not in _MISSING
    return True
