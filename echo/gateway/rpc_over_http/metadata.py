"""HTTP headers <-> metadata, the way gRPC-Web and Connect have it: a header is metadata of the same name, and back.

Not every header, though. Those that speak of the connection, of HTTP, of the browser or of its page stay here, and so
do those that proxies add about the client, and those that these protocols and gRPC keep for themselves. Cookies do too:
a browser adds them unasked, and they are for the gateway's site, not for the server behind it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from echo.gateway.metadata import BadHeaderError, CallContext, Headers, MetadataList, call_context, check_size
from echo.gateway.rpc_over_http.exchange import HTTPHeaders
from echo.gateway.rpc_over_http.outcome import Pairs
from echo.wire import decode_bin, encode_bin

_KEPT: Final = frozenset(
    {
        # Of the connection (RFC 9110 §7.6.1), and of what a body is.
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "host"),
        *("expect", "range", "date", "age", "expires", "etag", "last-modified", "location", "allow", "server", "vary"),
        # Of the client and the page it shows.
        *("user-agent", "x-user-agent", "x-grpc-web", "origin", "referer", "cookie", "set-cookie", "dnt", "priority"),
        *("cache-control", "pragma", "upgrade-insecure-requests", "early-data", "save-data", "purpose"),
        # Of the way here; the gateway appends to x-forwarded-for, and names the request.
        *("forwarded", "via", "max-forwards", "x-real-ip", "x-request-id"),
        # What `call_context` passes on.
        *("authorization", "traceparent", "tracestate", "baggage", "b3"),
    }
)
_KEPT_PREFIXES: Final = (
    *("accept", "access-control-", "connect-", "content-", "grpc-", "if-", "proxy-", "sec-", "trailer-"),
    *("x-b3-", "x-envoy-", "x-forwarded-"),
)
_NAME: Final = re.compile(r"[0-9a-z_.\-]+", re.ASCII)
_TEXT: Final = re.compile(r"[ -~]*", re.ASCII)


def context_of(headers: Headers, request_id: str, client: str | None) -> CallContext:
    """What a call shall take along: what `call_context` says, and the client's own headers.

    Raises:
        BadHeaderError: As from `call_context`; or a ``-bin`` header is not base64.
    """
    headers = list(headers)
    context = call_context(headers, request_id, client)
    hops = {
        hop.strip().lower()
        for name, value in headers
        if name == b"connection"
        for hop in value.decode("latin-1").split(",")
    }
    metadata = list(context.metadata)
    for octets, value in headers:
        name = octets.decode("latin-1").lower()
        if name not in hops and _is_metadata(name):
            metadata += _parsed(name, value.decode("latin-1").strip())
    check_size(metadata)
    return CallContext(metadata, context.timeout)


def pairs_of(metadata: Mapping[str, str | bytes] | None) -> Pairs:
    """Metadata of a response as headers or trailers, without what HTTP can't carry or has another meaning for."""
    return [
        (name, text)
        for name, value in (metadata.items() if metadata else ())
        if _is_metadata(name)
        and _TEXT.fullmatch(text := encode_bin(value).decode() if isinstance(value, bytes) else value.strip())
    ]


def encoded(pairs: Iterable[tuple[str, str]], prefix: str = "") -> HTTPHeaders:
    """Headers as ASGI takes them."""
    return [((prefix + name).encode("ascii"), value.encode("ascii")) for name, value in pairs]


def _is_metadata(name: str) -> bool:
    return name not in _KEPT and not name.startswith(_KEPT_PREFIXES) and _NAME.fullmatch(name) is not None


def _parsed(name: str, text: str) -> MetadataList:
    if not name.endswith("-bin"):
        # Proxies add headers too; what gRPC can't carry of them is no fault of the client's.
        return [(name, text)] if _TEXT.fullmatch(text) else []
    try:
        return [(name, decode_bin(item.strip(" \t").encode())) for item in text.split(",")]
    except ValueError as error:
        raise BadHeaderError(f"{name}: {error}") from None
