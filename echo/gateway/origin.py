"""Which web pages may open WebSockets (RFC 6455 §10.2): a browser opens them for any page, with its cookies."""

from collections.abc import Collection
from typing import Final
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def allowed(origin: str | None, host: str | None, others: Collection[str]) -> bool:
    """Whether a page of this origin may connect.

    Args:
        origin: The ``Origin`` header; None from clients that are no browsers, which may.
        host: The ``Host`` header: pages of the gateway's own host and port may. The schemes need not agree, since TLS
            may end in front of the gateway.
        others: Further origins that may, like ``https://app.example``; ``*`` for all.
    """
    if origin is None or "*" in others:
        return True
    parsed = _split(origin)
    if parsed is None:
        return False
    if host is not None:
        own = _split(f"{parsed.scheme}://{host}")
        if own is not None and _place(own) == _place(parsed):
            return True
    return any(
        (other := _split(entry)) is not None and (other.scheme, *_place(other)) == (parsed.scheme, *_place(parsed))
        for entry in others
    )


def _split(origin: str) -> SplitResult | None:
    try:
        parts = urlsplit(origin.strip().rstrip("/"))
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return None
    return parts if parts.scheme and parts.hostname else None


def _place(parts: SplitResult) -> tuple[str | None, int | None]:
    return parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
