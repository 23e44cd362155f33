"""CORS (https://fetch.spec.whatwg.org/#http-cors-protocol): what pages of other origins may send and see.

As for WebSockets, `echo.gateway.origin` decides which pages may call: those of the gateway's own origin and of
``HTTP_ALLOWED_ORIGINS``. Pages may not send cookies, so no permission here depends on who the user is.
"""

import re
from typing import Final

from echo.gateway.rpc_over_http.exchange import Exchange, HTTPHeaders

MAX_AGE: Final = 7200  # Seconds a browser may cache a preflight's answer; no browser caches it for longer.

_NAMES: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z, \t]{1,4096}", re.ASCII)
_USUAL: Final = "content-type, connect-protocol-version, connect-timeout-ms, grpc-timeout, x-grpc-web, x-user-agent"


def preflight_headers(exchange: Exchange) -> HTTPHeaders:
    """The headers that permit the call. Any header may be metadata, so every requested header is allowed."""
    asked = exchange.header(b"access-control-request-headers") or ""
    return [
        (b"vary", b"access-control-request-method, access-control-request-headers"),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", (asked if _NAMES.fullmatch(asked) else _USUAL).encode()),
        (b"access-control-max-age", b"%d" % MAX_AGE),
    ]
