"""The request headers that a record keeps: in order, without credentials, bounded in size.

Anyone who knows a call-id can read its records, so they must not contain credentials: neither the client's own, nor
those that a proxy on the way has added for the server, which the client itself never sees.
"""

import re
from collections.abc import Iterable
from typing import Final

MAX_HEADERS_SIZE: Final = 16 * 1024  # Bytes of header fields kept.
_CREDENTIALS: Final = re.compile(
    rb"(?:.*-)?(?:authorization|cookie|[a-z]*token|jwt|assertion|secret|password|credentials?)"
    rb"|(?:.*-)?(?:api|subscription|access)-?key"
    rb"|x-amzn-oidc-data"  # Of AWS's load balancer: a JWT.
)
"""Names whose last word says so, since no list could have all that gateways, clouds and vendors use."""

_GATEWAY_PREFIX: Final = b"grpc-metadata-"  # What follows it becomes metadata.


def kept_headers(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Names and values as received, including repeats. Credentials become their length; the excess is cut."""
    kept, room = [], MAX_HEADERS_SIZE
    for name, value in fields:
        if _CREDENTIALS.fullmatch(_name(name)):
            value = b"%d" % len(value)
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return kept


def _name(spelling: bytes) -> bytes:
    """The name in lower case with dashes, as metadata, and without the suffix of binary values."""
    return spelling.lower().replace(b"_", b"-").removeprefix(_GATEWAY_PREFIX).removesuffix(b"-bin")
