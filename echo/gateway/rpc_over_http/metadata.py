"""HTTP headers <-> metadata for gRPC-Web and Connect, where a header and metadata have the same name.

Not every header is metadata. Headers about the connection, HTTP, the browser or its page are left out, and so are those
that proxies add about the client, and those that gRPC and these protocols reserve. So are cookies: a browser sends them
automatically, and they belong to the gateway's site, not to the server behind it.
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
        # About the connection and HTTP (RFC 9110 §7.6.1, §10.1).
        *("host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"),
        *("expect", "range", "max-forwards", "cache-control", "pragma", "date", "priority", "early-data"),
        # About the client and its page.
        *("user-agent", "x-user-agent", "x-grpc-web", "origin", "referer", "cookie", "dnt", "save-data"),
        *("upgrade-insecure-requests",),
        # About the path to the gateway, which appends to x-forwarded-for and sets x-request-id.
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
    """The context of a call: that of `call_context`, with the client's other headers as metadata.

    Raises:
        BadHeaderError: As for `call_context`; or a ``-bin`` header is not base64.
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
    """A response's metadata as headers or trailers, without what HTTP cannot carry or reserves for itself."""
    return [
        (name, text)
        for name, value in (metadata.items() if metadata else ())
        if name not in _OF_RESPONSES
        and _may_be_metadata(name)
        and _TEXT.fullmatch(text := encode_bin(value).decode() if isinstance(value, bytes) else value.strip())
    ]


def encoded(pairs: Iterable[tuple[str, str]], prefix: str = "") -> HTTPHeaders:
    """Encode headers for ASGI."""
    return [((prefix + name).encode("ascii"), value.encode("ascii")) for name, value in pairs]


def _may_be_metadata(name: str) -> bool:
    return not name.startswith(_PREFIXES) and _NAME.fullmatch(name) is not None


def _parsed(name: str, text: str) -> MetadataList:
    if not name.endswith("-bin"):
        # Proxies add headers, too; the client is not to blame for one that gRPC cannot carry.
        return [(name, text)] if _TEXT.fullmatch(text) else []
    try:
        return [(name, decode_bin(item.strip(" \t").encode())) for item in text.split(",")]
    except ValueError as error:
        raise BadHeaderError(f"{name}: {error}") from None
