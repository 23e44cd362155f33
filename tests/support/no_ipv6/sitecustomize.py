"""A Python without IPv6, for a process that has this folder on its path: as in most containers, names still have it.

``NO_IPV6=family`` is a kernel built without it, ``NO_IPV6=address`` one where it is turned off.
"""

import errno
import os
import socket
from typing import Any

_init, _bind, _connect, _getaddrinfo = (
    socket.socket.__init__,
    socket.socket.bind,
    socket.socket.connect,
    socket.getaddrinfo,
)


def _fault(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def init(self: socket.socket, family: int = -1, *arguments: Any, **more: Any) -> None:
    if family == socket.AF_INET6 and os.environ["NO_IPV6"] == "family":
        raise _fault(errno.EAFNOSUPPORT)
    _init(self, family, *arguments, **more)


def bind(self: socket.socket, address: Any) -> None:
    if self.family == socket.AF_INET6:
        raise _fault(errno.EADDRNOTAVAIL)
    _bind(self, address)


def connect(self: socket.socket, address: Any) -> None:
    if self.family == socket.AF_INET6:
        raise _fault(errno.EADDRNOTAVAIL)
    _connect(self, address)


def getaddrinfo(host: Any, port: Any, *arguments: Any, **more: Any) -> list[Any]:
    found: list[Any] = _getaddrinfo(host, port, *arguments, **more)
    if host in {"localhost", b"localhost"}:
        found = [(socket.AF_INET6, *rest[1:4], ("::1", rest[4][1], 0, 0)) for rest in found] + found
    return found


if "NO_IPV6" in os.environ:
    socket.socket.__init__ = init  # type: ignore[method-assign]
    socket.socket.bind = bind  # type: ignore[assignment, method-assign]
    socket.socket.connect = connect  # type: ignore[assignment, method-assign]
    socket.getaddrinfo = getaddrinfo
