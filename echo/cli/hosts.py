"""Which of a name's addresses a program can listen on.

In most containers ``/etc/hosts`` also lists ``::1`` for ``localhost``, while the kernel has no IPv6 or has it turned
off. Listening on a name means listening on all its addresses, so the missing one would make it fail.
"""

import errno
import ipaddress
import socket
from typing import Final

import trio

__all__ = ["listening_host"]

_MISSING: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


async def listening_host(host: str) -> str:
    """The host unchanged if this machine has all of its addresses or none of them, else the first one it has.

    Raises:
        OSError: The name is not known.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        found = await trio.socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    else:
        return host
    addresses = [address for family, kind, _, _, address in found if _is_local(family, kind, address)]
    return host if len(addresses) in {0, len(found)} else str(addresses[0][0])


def _is_local(family: int, kind: int, address: tuple[object, ...]) -> bool:
    try:
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError as error:
        return error.errno not in _MISSING
    return True
