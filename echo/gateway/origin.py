"""The Origin check: which pages may open WebSockets. Nothing else keeps foreign pages out (RFC 6455 §10.2).

Browsers send ``Origin`` with every WebSocket handshake, and pages cannot forge it; other clients need not send it.
"""

from collections.abc import Collection, Iterable
from typing import Final

from echo.urls import origin_of

ANY: Final = "*"

_HTTP_SCHEME: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


def is_allowed(headers: Iterable[tuple[bytes, bytes]], scheme: str, allowed: Collection[str]) -> bool:
    """Whether a handshake has no origin, the gateway's own, or a listed one.

    The gateway's own origin is the one that the client sees: the ``Host`` it asked for, and the scheme that a proxy
    reports in ``X-Forwarded-Proto``, else the connection's. Pages cannot set either header.

    Args:
        headers: The handshake's headers, with names in lower case.
        scheme: The connection's scheme in ASGI: ``ws`` or ``wss``.
        allowed: Further origins in normal form (lower case, no default port); ``*`` allows any.
    """
    headers = list(headers)
    origins = _values(headers, b"origin")
    if not origins or ANY in allowed:
        return True
    if len(origins) > 1:
        return False
    if origins[0] in allowed:  # Including "null", which is not a URL.
        return True
    origin = origin_of(origins[0])
    return origin is not None and (origin in allowed or origin == own_origin(headers, scheme))


def own_origin(headers: Iterable[tuple[bytes, bytes]], scheme: str) -> str | None:
    """The gateway's own origin as the client of this request sees it, in normal form; None if it cannot be determined.

    Args:
        headers: The request's headers, with names in lower case.
        scheme: The connection's scheme in ASGI.
    """
    headers = list(headers)
    hosts = _values(headers, b"host")
    protocols = _values(headers, b"x-forwarded-proto")
    if protocols:
        scheme = protocols[0].split(",")[0].strip().lower()  # The first proxy is the client's.
    return origin_of(f"{_HTTP_SCHEME.get(scheme, '')}://{hosts[0]}") if hosts else None


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for name, value in headers if name == wanted]
