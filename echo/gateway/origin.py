"""Which pages may open WebSockets here: the Origin check, the only thing that keeps foreign pages out (RFC 6455 §10.2).

Browsers send ``Origin`` with every WebSocket handshake and let no page forge it; other clients need not send it.
"""

from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HTTP_SCHEME: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


def is_allowed(headers: Iterable[tuple[bytes, bytes]], scheme: str, allowed: Collection[str]) -> bool:
    """Whether a handshake's origin is none, the gateway's own, or a listed one.

    The gateway's own origin is what the client sees of it: the ``Host`` it asked for, and the scheme that a proxy in
    front reports in ``X-Forwarded-Proto``, else that of the connection. No page can set either header.

    Args:
        headers: Of the handshake, names in lower case.
        scheme: Of the connection, as ASGI has it: ``ws`` or ``wss``.
        allowed: Further origins in their normal form (lower case, no default port); ``*`` allows any.
    """
    headers = list(headers)
    origins = _values(headers, b"origin")
    if not origins or ANY in allowed:
        return True
    if len(origins) > 1:
        return False
    if origins[0] in allowed:  # Also "null", which is no URL.
        return True
    origin = normal_form(origins[0])
    return origin is not None and (origin in allowed or origin == own_origin(headers, scheme))


def own_origin(headers: Iterable[tuple[bytes, bytes]], scheme: str) -> str | None:
    """The gateway's own origin as the client of this request sees it, in normal form; None if that can't be told.

    Args:
        headers: Of the request, names in lower case.
        scheme: Of the connection, as ASGI has it.
    """
    headers = list(headers)
    hosts = _values(headers, b"host")
    protocols = _values(headers, b"x-forwarded-proto")
    if protocols:
        scheme = protocols[0].split(",")[0].strip().lower()  # The first proxy is the one that the client talks to.
    return normal_form(f"{_HTTP_SCHEME.get(scheme, '')}://{hosts[0]}") if hosts else None


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for name, value in headers if name == wanted]


def normal_form(origin: str) -> str | None:
    """An origin as RFC 6454 §6.2 writes it: lower case, without the scheme's default port; None if it is none."""
    try:
        parts = urlsplit(origin)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        return None
    if not scheme or not host or "@" in parts.netloc or parts.path or parts.query or parts.fragment:
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"
