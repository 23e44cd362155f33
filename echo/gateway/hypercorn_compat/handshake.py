"""The opening handshake of a WebSocket, read and answered (RFC 6455 §4.2, RFC 8441 §5).

Upstream: a refused handshake gets a 400 with no reason, even a request for another protocol version, which should be
told the supported one (RFC 6455 §4.4). `echo.gateway.hypercorn_compat.websocket_stream` then closes the connection;
upstream leaves it open, though nothing received on it is ever answered.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1
from typing import Final

VERSION: Final = b"13"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Fields = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The HTTP response to a refused handshake."""

    status: int
    text: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def body(self) -> bytes:
        """The response's body."""
        return self.text.encode()

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """All of the response's headers."""
        described = [(b"content-type", b"text/plain; charset=utf-8")] if self.text else []
        return [*described, *self.headers, (b"content-length", b"%d" % len(self.body)), (b"connection", b"close")]


def tokens(fields: Fields, name: bytes) -> list[str]:
    """The members of a list header, over all of its fields, in lower case (RFC 9110 §5.3)."""
    values = (value.decode("latin-1") for found, value in fields if found.lower() == name)
    return [token for value in values for part in value.split(",") if (token := part.strip().lower())]


class Handshake:
    """A client's handshake request."""

    def __init__(self, headers: Fields, http_version: str) -> None:
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            found.setdefault(name.lower(), []).append(value.strip())
        self._http1 = http_version == "1.1"
        self._keys = found.get(b"sec-websocket-key", [])
        self._versions = found.get(b"sec-websocket-version", [])
        self.subprotocols = [
            part.strip().decode("latin-1")
            for value in found.get(b"sec-websocket-protocol", [])
            for part in value.split(b",")
            if part.strip()
        ]

    def refusal(self) -> Refusal | None:
        """The refusal, or None. The caller has checked that the request is for a WebSocket."""
        if self._versions != [VERSION]:
            text = "WebSockets of version 13 (RFC 6455) are spoken here"
            return Refusal(426, text, ((b"sec-websocket-version", VERSION), (b"upgrade", b"websocket")))
        if self._http1 and not (len(self._keys) == 1 and _is_nonce(self._keys[0])):
            return Refusal(400, "Sec-WebSocket-Key must be there once, and be 16 bytes in base64")
        return None

    def answer(self, headers: Fields) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Status and headers of the accepting response, with these headers added."""
        if not self._http1:
            return 200, list(headers)
        accept = b64encode(sha1(self._keys[0] + _GUID, usedforsecurity=False).digest())
        own = [(b"sec-websocket-accept", accept), (b"upgrade", b"WebSocket"), (b"connection", b"Upgrade")]
        return 101, [*own, *headers]


def _is_nonce(key: bytes) -> bool:
    try:
        return len(b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
