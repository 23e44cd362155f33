"""Pages of other origins (https://fetch.spec.whatwg.org/#http-cors-protocol): what they may send and see.

Which may call at all is the WebSockets' rule, `echo.gateway.origin`: those of the gateway's own origin, and of
``HTTP_ALLOWED_ORIGINS``. Pages may send no cookies along, so nothing that is allowed here rests on who the user is.
"""

import re
from typing import Final

from echo.gateway.rpc_over_http.exchange import Exchange, HTTPHeaders

MAX_AGE: Final = 7200  # Seconds a browser may remember the answer to a preflight; no browser takes more.

_NAMES: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z, \t]{1,4096}", re.ASCII)
_USUAL: Final = "content-type, connect-protocol-version, connect-timeout-ms, grpc-timeout, x-grpc-web, x-user-agent"


def preflight_headers(exchange: Exchange) -> HTTPHeaders:
    """Leave to call: any header may be metadata, so those that are asked for may be sent."""
    asked = exchange.header(b"access-control-request-headers") or ""
    return [
        (b"vary", b"access-control-request-method, access-control-request-headers"),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", (asked if _NAMES.fullmatch(asked) else _USUAL).encode()),
        (b"access-control-max-age", b"%d" % MAX_AGE),
    ]
