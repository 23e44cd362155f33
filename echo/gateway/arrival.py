"""The answer to a plain request for a WebSocket route: it describes how the request arrived.

A browser does not say why a WebSocket did not open (WHATWG WebSockets §2.1). A plain request to the same address can:
its answer shows how the path changes requests, and whether the page's origin would be allowed. The console uses it.
"""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec
from hypercorn.typing import HTTPScope

from echo.gateway.origin import is_allowed, own_origin
from echo.gateway.status import error_body
from echo.rpc import Status

PAGE_ORIGIN: Final = "x-page-origin"
"""The header for a page's own origin: browsers send no ``Origin`` in a GET to the page's own host (Fetch §3.2)."""

TOLD: Final = frozenset(
    (
        "connection",
        "forwarded",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "upgrade",
        "via",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "x-forwarded-proto",
    )
)
"""Headers that are returned as they arrived: those of the upgrade and those that proxies add. Never a credential."""


def describe_arrival(scope: HTTPScope, allowed_origins: Collection[str]) -> bytes:
    """The JSON body of the answer.

    It is that of `error_body` with an additional object ``arrived``: ``http_version``, ``method``, ``target`` (without
    the query), ``host``, ``origin`` (the page's; null if none was sent), ``own_origin`` (the gateway's, as far as it
    can tell), ``origin_allowed`` (whether that page may open a WebSocket), and ``headers`` (those of `TOLD` that
    arrived).

    Args:
        scope: The request.
        allowed_origins: Further origins, as for `is_allowed`.
    """
    headers = list(scope["headers"])
    origin = _value(headers, "origin")
    if origin is None:
        origin = _value(headers, PAGE_ORIGIN)
        if origin is not None:
            headers.append((b"origin", origin.encode("latin-1")))
    arrived: dict[str, object] = {
        "http_version": scope["http_version"],
        "method": scope["method"],
        "target": scope["raw_path"].decode("latin-1"),
        "host": _value(headers, "host"),
        "origin": origin,
        "own_origin": own_origin(headers, scope["scheme"]),
        "origin_allowed": is_allowed(headers, scope["scheme"], allowed_origins),
        "headers": {name: value for name in sorted(TOLD) if (value := _value(headers, name)) is not None},
    }
    message = "this route takes WebSockets"
    if _value(headers, "sec-websocket-key") is not None and _value(headers, "upgrade") is None:
        message += "; something on the path removed the Upgrade header of this handshake"
    body = msgspec.json.decode(error_body(Status.FAILED_PRECONDITION, message), type=dict[str, object])
    return msgspec.json.encode(body | {"arrived": arrived})


def _value(headers: Iterable[tuple[bytes, bytes]], wanted: str) -> str | None:
    """The values of a header, joined by commas (RFC 9110 §5.3); None if it is missing."""
    name = wanted.encode()
    values = [value.decode("latin-1").strip() for found, value in headers if found == name]
    return ", ".join(values) if values else None
