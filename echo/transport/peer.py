"""Who is at the other end, in the shape of grpclib's ``Peer``."""

import os
from typing import Any

from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute

from echo.printable import printable
from echo.targets import join


def address_text(address: object) -> str:
    """A socket's address for people: host and port, or the path of a Unix socket; empty if it has none.

    Abstract names of Unix sockets, which Python has as bytes, begin with ``@``, as netstat and ss write them.
    """
    if isinstance(address, tuple):
        return join(*address[:2])
    if isinstance(address, bytes):
        address = os.fsdecode(address)
    return printable(address.replace("\0", "@")) if isinstance(address, str) else ""


class Peer:
    """The peer of a connection, for handlers, logs and grpclib's events."""

    def __init__(self, stream: ByteStream) -> None:
        addr: object = stream.extra(SocketAttribute.remote_address, None)
        if isinstance(addr, bytes):
            addr = os.fsdecode(addr)
        self._addr = addr if isinstance(addr, (tuple, str)) else None
        self._cert = stream.extra(TLSAttribute.peer_certificate, None)
        self._text = "memory" if self._addr is None else address_text(self._addr) or "unix"

    def addr(self) -> tuple[str, int] | str | None:
        """Host and port; the path of a Unix socket, or its abstract name after a zero byte; None in memory.

        The path is empty for clients.
        """
        return self._addr

    def cert(self) -> dict[str, Any] | None:
        """The certificate the peer showed, as ``ssl.SSLSocket.getpeercert`` gives it; None without TLS."""
        return self._cert

    def __str__(self) -> str:
        return self._text
