"""Reads from a ClientHello what ``ssl`` does not tell a server: the offered protocols and the requested name."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

HANDSHAKE: Final = 22  # The record type (RFC 8446 §5.1).
_SERVER_NAME: Final = 0  # Extension types (RFC 6066 §3,
_ALPN: Final = 16  # RFC 7301 §3.1).


def offered_protocols(received: bytes) -> list[bytes]:
    """The application protocols in a ClientHello that OpenSSL has accepted; empty if it has no ALPN extension.

    Args:
        received: Everything the client has sent so far: TLS records with a whole ClientHello (RFC 8446 §4.1.2).
    """
    with suppress(EOFError):
        for kind, content in _extensions(received):
            if kind == _ALPN:
                names = _Reader(_Reader(content).vector(2))
                offered = []
                while names:
                    offered.append(names.vector(1))
                return offered
    return []


def requested_name(received: bytes) -> str:
    """The server name that the client asks for in its ClientHello (RFC 6066 §3); empty if it names none."""
    with suppress(EOFError):
        for kind, content in _extensions(received):
            if kind == _SERVER_NAME:
                return _Reader(_Reader(content).vector(2)).skip(1).vector(2).decode("latin-1")
    return ""


def _extensions(received: bytes) -> Iterator[tuple[int, bytes]]:
    """The extensions' types and contents. Raises EOFError if there are none, or the ClientHello is in SSL 2's form."""
    hello = _Reader(_Reader(_fragments(received)).skip(1).vector(3))
    hello.skip(2 + 32).vector(1)  # Version, random, session ID; then cipher suites and compression methods.
    hello.vector(2)
    hello.vector(1)
    extensions = _Reader(hello.vector(2))
    while extensions:
        yield extensions.number(2), extensions.vector(2)


def _fragments(received: bytes) -> bytes:
    """The handshake messages that the records carry."""
    message = bytearray()
    records = _Reader(received)
    while records and records.number(1) == HANDSHAKE:
        message += records.skip(2).vector(2)  # Skips the record's version.
    return bytes(message)


class _Reader:
    """Reads TLS's numbers and vectors one after another (RFC 8446 §3.4). Raises EOFError if they are cut short."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def skip(self, size: int) -> "_Reader":
        self._take(size)
        return self

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def vector(self, size: int) -> bytes:
        """Bytes preceded by their length, which takes ``size`` bytes."""
        return self._take(self.number(size))

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise EOFError
        self._at += size
        return taken
