"""Where a path begins: parses the targets given on the command line."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from echo.targets import join
from echo.urls import DEFAULT_PORTS, is_host

TlsFactory = Callable[[Sequence[str]], ssl.SSLContext]
"""Makes a context that offers these protocols by ALPN."""


@dataclass(frozen=True)
class Target:
    """An address to connect to.

    Attributes:
        host: A name or an address.
        port: The port.
        tls: Whether to speak TLS.
        prefix: The path of a URL, which comes before every other path, without a slash at its end.
        text: As it was given.
        name: The name that the certificate must be for, if not the host.
    """

    host: str
    port: int
    tls: bool = False
    prefix: str = ""
    text: str = ""
    name: str = ""

    @property
    def authority(self) -> str:
        """``HOST:PORT``."""
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
        text: The target.
        tls: Whether ``HOST:PORT`` means TLS.

    Raises:
        ValueError: It is none of these; the text continues a sentence that begins with the target.
    """
    target = _parse(text if "://" in text else f"{'https' if tls else 'http'}://{text}", text)
    if target.prefix:
        raise ValueError("has a path, but a gRPC server's address has none")
    if "://" not in text and urlsplit(f"http://{text}").port is None:
        raise ValueError("has no port (HOST:PORT)")
    return target


def parse_url(text: str) -> Target:
    """Read the gateway's URL: ``http://…``, ``https://…``, ``ws://…`` or ``wss://…``, with a path or without.

    Raises:
        ValueError: It is not a URL; the text continues a sentence that begins with it.
    """
    for web, plain in (("ws://", "http://"), ("wss://", "https://")):
        if text.startswith(web):
            return _parse(plain + text.removeprefix(web), text)
    if "://" not in text:
        raise ValueError("is not a URL (http://HOST:PORT or https://HOST:PORT)")
    return _parse(text, text)


def _parse(url: str, text: str) -> Target:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # Unbalanced brackets, an invalid port.
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in DEFAULT_PORTS or not host or parts.query or parts.fragment or parts.username or port == 0:
        raise ValueError("is neither HOST:PORT nor http://HOST:PORT nor https://HOST:PORT")
    if not is_host(host):
        raise ValueError(f"names no possible host ({host})")
    tls = parts.scheme == "https"
    return Target(host, port or DEFAULT_PORTS[parts.scheme], tls, parts.path.rstrip("/"), text)
