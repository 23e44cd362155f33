"""The other end of a connection, with the interface of grpclib's ``Peer``."""

import os
from typing import Any

from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute

from echo.printable import printable
from echo.targets import join


def address_text(address: object) -> str:
    """A socket's address as text: host and port, or the path of a Unix socket; empty if it has none.

    Abstract names of Unix sockets begin with ``@``, as in netstat and ss; Python gives them as bytes.
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
        """Host and port; for a Unix socket its path, or a zero byte and its abstract name; None in memory.

        The path of a client is empty.
        """
        return self._addr

    def cert(self) -> dict[str, Any] | None:
        """The peer's certificate, in the form of ``ssl.SSLSocket.getpeercert``; None without TLS."""
        return self._cert

    def __str__(self) -> str:
        return self._text
