"""Who is at the other end, in the shape of grpclib's ``Peer``."""

import os
from typing import Any

from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute

from echo.printable import printable


class Peer:
    """The peer of a connection, for handlers, logs and grpclib's events."""

    def __init__(self, stream: ByteStream) -> None:
        addr: object = stream.extra(SocketAttribute.remote_address, None)
        if isinstance(addr, bytes):  # Python has abstract names of Unix sockets as bytes.
            addr = os.fsdecode(addr)
        self._addr = addr if isinstance(addr, (tuple, str)) else None
        self._cert = stream.extra(TLSAttribute.peer_certificate, None)
        self._text = self._describe()

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

    def _describe(self) -> str:
        if isinstance(self._addr, tuple):
            host, port = self._addr[:2]
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self._addr is None:
            return "memory"
        return printable(self._addr.replace("\0", "@")) or "unix"  # As netstat and ss write an abstract name.
