"""HTTP headers <-> metadata, the way gRPC-Web and Connect have it: a header is metadata of the same name, and back.

Not every header is: those about the connection, HTTP, the browser or its page are not, nor are those that proxies add
about the client, or that gRPC and these protocols reserve. Neither are cookies: a browser sends them unasked, and they
are for the gateway's site, not for the server behind it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from echo.gateway.metadata import BadHeaderError, CallContext, Headers, MetadataList, call_context, check_size
from echo.gateway.rpc_over_http.exchange import HTTPHeaders
from echo.gateway.rpc_over_http.outcome import Pairs
from echo.wire import decode_bin, encode_bin

_OF_REQUESTS: Final = frozenset(
    {
        # Of the connection and of HTTP (RFC 9110 §7.6.1, §10.1).
        *("host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"),
        *("expect", "range", "max-forwards", "cache-control", "pragma", "date", "priority", "early-data"),
        # Of the client and the page it shows.
        *("user-agent", "x-user-agent", "x-grpc-web", "origin", "referer", "cookie", "dnt", "save-data"),
        *("upgrade-insecure-requests",),
        # Of the way here. The gateway appends to x-forwarded-for, and names the request.
        *("forwarded", "via", "x-real-ip", "x-request-id"),
        # What `call_context` passes on.
        *("authorization", "traceparent", "tracestate", "baggage", "b3"),
    }
)
_OF_RESPONSES: Final = frozenset(
    {
        *("connection", "keep-alive", "trailer", "transfer-encoding", "upgrade", "date", "server", "via", "alt-svc"),
        *("age", "cache-control", "pragma", "expires", "etag", "last-modified", "vary", "allow", "location", "refresh"),
        *("retry-after", "set-cookie", "www-authenticate", "clear-site-data", "strict-transport-security"),
        *("x-request-id",),
    }
)
_PREFIXES: Final = (
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
        if name not in hops and name not in _OF_REQUESTS and _may_be_metadata(name):
            metadata += _parsed(name, value.decode("latin-1").strip())
    check_size(metadata)
    return CallContext(metadata, context.timeout)


def pairs_of(metadata: Mapping[str, str | bytes] | None) -> Pairs:
    """Metadata of a response as headers or trailers, without what HTTP can't carry or has another meaning for."""
    return [
        (name, text)
        for name, value in (metadata.items() if metadata else ())
        if name not in _OF_RESPONSES
        and _may_be_metadata(name)
        and _TEXT.fullmatch(text := encode_bin(value).decode() if isinstance(value, bytes) else value.strip())
    ]


def encoded(pairs: Iterable[tuple[str, str]], prefix: str = "") -> HTTPHeaders:
    """Headers as ASGI takes them."""
    return [((prefix + name).encode("ascii"), value.encode("ascii")) for name, value in pairs]


def _may_be_metadata(name: str) -> bool:
    return not name.startswith(_PREFIXES) and _NAME.fullmatch(name) is not None


def _parsed(name: str, text: str) -> MetadataList:
    if not name.endswith("-bin"):
        # Proxies add headers too; what gRPC can't carry of them is no fault of the client's.
        return [(name, text)] if _TEXT.fullmatch(text) else []
    try:
        return [(name, decode_bin(item.strip(" \t").encode())) for item in text.split(",")]
    except ValueError as error:
        raise BadHeaderError(f"{name}: {error}") from None
