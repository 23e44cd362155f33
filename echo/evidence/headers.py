"""The request headers that a record keeps: in order, without credentials, bounded in size.

Anyone who knows a call-id can read its records, so they must not contain credentials: neither the client's own, nor
those that a proxy on the way has added for the server, which the client itself never sees.
"""

from collections.abc import Iterable
from typing import Final

MAX_HEADERS_SIZE: Final = 16 * 1024  # Bytes of header fields kept.
CREDENTIALS: Final = frozenset(
    {
        *(b"authorization", b"cookie", b"proxy-authorization"),
        *(b"api-key", b"x-api-key", b"x-auth-token", b"x-access-token", b"x-csrf-token"),
        *(b"x-amz-security-token", b"x-amzn-oidc-accesstoken", b"x-amzn-oidc-data"),  # AWS, and its load balancer.
        *(b"x-goog-iap-jwt-assertion", b"x-goog-api-key", b"cf-access-jwt-assertion"),  # Google's and Cloudflare's.
        *(b"x-ms-token-aad-access-token", b"x-ms-token-aad-id-token"),  # Azure App Service.
        *(b"x-forwarded-access-token", b"x-auth-request-access-token"),  # oauth2-proxy.
    }
)

_GATEWAY_PREFIX: Final = b"grpc-metadata-"  # What follows it becomes metadata.


def kept_headers(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Names and values as received, including repeats. Credentials become their length; the excess is cut."""
    kept, room = [], MAX_HEADERS_SIZE
    for name, value in fields:
        if _name(name) in CREDENTIALS:
            value = b"%d" % len(value)
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return kept


def _name(spelling: bytes) -> bytes:
    """The name in lower case with dashes, as metadata, and without the suffix of binary values."""
    return spelling.lower().replace(b"_", b"-").removeprefix(_GATEWAY_PREFIX).removesuffix(b"-bin")
