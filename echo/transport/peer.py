"""Who is at the other end, in the shape of grpclib's ``Peer``."""

from typing import Any

from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute


class Peer:
    """The peer of a connection, for handlers, logs and grpclib's events."""

    def __init__(self, stream: ByteStream) -> None:
        self._addr = stream.extra(SocketAttribute.remote_address, None)
        self._cert = stream.extra(TLSAttribute.peer_certificate, None)

    def addr(self) -> tuple[str, int] | str | None:
        """Host and port, a path for a Unix socket, None in memory."""
        return self._addr

    def cert(self) -> dict[str, Any] | None:
        """The certificate the peer showed, as ``ssl.SSLSocket.getpeercert`` gives it; None without TLS."""
        return self._cert

    def __str__(self) -> str:
        if isinstance(self._addr, tuple):
            host, port = self._addr[:2]
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self._addr or "memory"
