"""Where a path begins: what a person writes as a target, taken apart."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from echo.targets import join
from echo.urls import DEFAULT_PORTS

TlsFactory = Callable[[Sequence[str]], ssl.SSLContext]
"""Makes a context that offers these protocols by ALPN."""


@dataclass(frozen=True)
class Target:
    """An address to connect to.

    Attributes:
        host: A name or an address.
        port: The port.
        tls: Whether to speak TLS.
        prefix: What stands before every path of a URL, without a slash at its end.
        text: As it was written.
    """

    host: str
    port: int
    tls: bool = False
    prefix: str = ""
    text: str = ""

    @property
    def authority(self) -> str:
        """Host and port as one word."""
        return join(self.host, self.port)

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "https" if self.tls else "http"

    def __str__(self) -> str:
        return self.text or self.authority


def parse_target(text: str, *, tls: bool = False) -> Target:
    """Read ``HOST:PORT``, ``http://HOST[:PORT]`` or ``https://HOST[:PORT]``.

    Args:
        text: What was written.
        tls: Whether ``HOST:PORT`` means TLS.

    Raises:
        ValueError: It is none of these; the rest of a sentence that begins with it.
    """
    target = _parse(text if "://" in text else f"{'https' if tls else 'http'}://{text}", text)
    if target.prefix:
        raise ValueError("has a path, which a gRPC server's address has not")
    if "://" not in text and urlsplit(f"http://{text}").port is None:
        raise ValueError("has no port (HOST:PORT)")
    return target


def parse_url(text: str) -> Target:
    """Read the gateway's URL: ``http://…``, ``https://…``, ``ws://…`` or ``wss://…``, with a path or without.

    Raises:
        ValueError: It is none; the rest of a sentence that begins with it.
    """
    for web, plain in (("ws://", "http://"), ("wss://", "https://")):
        if text.startswith(web):
            return _parse(plain + text.removeprefix(web), text)
    return _parse(text, text)


def _parse(url: str, text: str) -> Target:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # Brackets that do not match, a port that is none.
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in DEFAULT_PORTS or not host or parts.query or parts.fragment or parts.username or port == 0:
        raise ValueError("is neither HOST:PORT nor http://HOST:PORT nor https://HOST:PORT")
    tls = parts.scheme == "https"
    return Target(host, port or DEFAULT_PORTS[parts.scheme], tls, parts.path.rstrip("/"), text)
