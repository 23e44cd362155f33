"""Reads from a ClientHello what ``ssl`` does not tell a server: the offered protocols and the requested name."""

from contextlib import suppress
from typing import Final, NamedTuple

HANDSHAKE: Final = 22  # The record type (RFC 8446 §5.1).
_SERVER_NAME: Final = 0  # Extension types (RFC 6066 §3,
_ALPN: Final = 16  # RFC 7301 §3.1).


class ClientHello(NamedTuple):
    """What a client asks for.

    Attributes:
        protocols: The application protocols it offers (ALPN); empty if it does not use that.
        name: The server's name (SNI); empty if it names none.
    """

    protocols: list[bytes]
    name: str


def read_client_hello(received: bytes) -> ClientHello:
    """Read a ClientHello that OpenSSL has accepted.

    Args:
        received: Everything the client has sent so far: TLS records with a whole ClientHello (RFC 8446 §4.1.2).
    """
    protocols: list[bytes] = []
    name = ""
    with suppress(EOFError):  # It has no extensions, or is in SSL 2's form.
        hello = _Reader(_Reader(_fragments(received)).skip(1).vector(3))
        hello.skip(2 + 32).vector(1)  # Version, random, session ID; then cipher suites and compression methods.
        hello.vector(2)
        hello.vector(1)
        extensions = _Reader(hello.vector(2))
        while extensions:
            kind, content = extensions.number(2), _Reader(extensions.vector(2))
            if kind == _ALPN:
                offered = _Reader(content.vector(2))
                while offered:
                    protocols.append(offered.vector(1))
            elif kind == _SERVER_NAME:
                name = _Reader(content.vector(2)).skip(1).vector(2).decode("latin-1")
    return ClientHello(protocols, name)


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
