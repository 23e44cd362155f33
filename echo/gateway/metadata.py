"""HTTP headers <-> gRPC metadata and deadline, for requests and responses.

Identity and tracing headers are forwarded under their own names; ``Grpc-Metadata-NAME`` is forwarded as ``NAME``. gRPC
cannot carry every header: names and values must be printable ASCII, and some names are reserved (gRPC over HTTP/2,
"Requests"). If such a header would be forwarded automatically, it is left out. In a ``Grpc-Metadata-`` header, which
has no other purpose, it is refused with 400.

``Grpc-Metadata-`` cannot set what the gateway itself sets, forwards or vouches for: the request id, tracing,
authorization, the client's address (``x-forwarded-*`` and similar), and names that belong to gRPC and HTTP/2. Otherwise
a client could forge its address or send the server two request ids. These headers are refused, not ignored, since the
client would not get what it asked for. Spellings with underscores or a final ``-bin`` count as the same name.

Response metadata becomes ``Grpc-Metadata-NAME`` and ``Grpc-Trailer-NAME``. Names invalid in gRPC and values that no
header can carry are left out. So is what exceeds `MAX_RETURNED` fields or `MAX_RETURNED_SIZE` bytes, since HTTP clients
and proxies would drop the whole response.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, cast
from uuid import uuid4

from hypercorn.typing import HTTPScope, WebsocketScope

from echo.wire import decode_bin, decode_timeout, encode_bin, encode_metadata

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
"""Headers of an ASGI scope: names in lower case."""

MetadataList: TypeAlias = list[tuple[str, str | bytes]]

PREFIX: Final = "grpc-metadata-"
TRAILER_PREFIX: Final = "grpc-trailer-"
MAX_SIZE: Final = 8 * 1024
"""Bytes of metadata in one call, as RFC 9113 §6.5.2 counts them; all servers accept this many. More could end the
connection, which other clients' calls share."""

MAX_RETURNED: Final = 64
"""Metadata fields in one response. Python's own HTTP client accepts a hundred headers in total."""

MAX_RETURNED_SIZE: Final = 8 * 1024
"""Bytes of those fields in HTTP/1.1: half of what Node.js and haproxy accept as a response's whole head."""

REQUEST_ID: Final = "x-request-id"
INSTANCE_HEADER: Final = "x-echo-instance"
FORWARDED_FOR: Final = "x-forwarded-for"

_FORWARDED: Final = frozenset({"authorization", "traceparent", "tracestate", "baggage", "b3"})
_FORWARDED_PREFIX: Final = "x-b3-"
# Names that ``Grpc-Metadata-`` cannot set. `encode_metadata` refuses gRPC's and HTTP/2's reserved names, but not their
# other spellings.
_OURS: Final = frozenset(
    {
        *_FORWARDED,
        *(REQUEST_ID, "forwarded", "via", "x-real-ip"),
        *("te", "content-type", "user-agent", "host", "content-length"),
        *("connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"),
    }
)
_OURS_PREFIXES: Final = (_FORWARDED_PREFIX, "x-forwarded-", "x-envoy-", "grpc-")
_NAME: Final = re.compile(r"[0-9a-z_.-]+", re.ASCII)
_TEXT: Final = re.compile(r"[ -~]*", re.ASCII)
_MAX_REQUEST_ID: Final = 256
_NOTED_ID: Final = "echo.request-id"  # The key in a scope's extensions.


class BadHeaderError(Exception):
    """A request header cannot be honoured. The message is for the client and contains no header values."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """A call's metadata and deadline.

    Attributes:
        metadata: The metadata to send.
        timeout: Seconds that the client allows for the call, or None.
    """

    metadata: MetadataList
    timeout: float | None


def request_id_of(headers: Headers) -> str:
    """The request's ``x-request-id``, or a new one if that is missing or cannot be forwarded."""
    for name, value in headers:
        if name == b"x-request-id":
            text = value.decode("latin-1").strip()
            if text and len(text) <= _MAX_REQUEST_ID and _TEXT.fullmatch(text):
                return text
    return str(uuid4())


def identify(scope: HTTPScope | WebsocketScope) -> str:
    """The request's id, from `request_id_of`; noted in the scope, so that it stays the same."""
    extensions = cast("dict[str, object]", scope["extensions"])
    if _NOTED_ID not in extensions:
        extensions[_NOTED_ID] = request_id_of(scope["headers"])
    return str(extensions[_NOTED_ID])


def call_context(headers: Headers, request_id: str, client: str | None) -> CallContext:
    """The metadata and deadline for the call that a request makes.

    Args:
        headers: The request's headers.
        request_id: From `request_id_of`.
        client: The peer's address, which is appended to ``x-forwarded-for``.

    Raises:
        BadHeaderError: ``Grpc-Timeout`` is malformed, a ``Grpc-Metadata-`` header cannot be forwarded, or there is too
            much metadata.
    """
    metadata: MetadataList = [(REQUEST_ID, request_id)]
    forwarded_for: list[str] = []
    timeout: float | None = None
    for octets, value in headers:
        name, text = octets.decode("latin-1").lower(), value.decode("latin-1").strip()
        if name in _FORWARDED or name.startswith(_FORWARDED_PREFIX):
            if _can_be_sent(name, text):
                metadata.append((name, text))
        elif name.startswith(PREFIX):
            metadata += _requested_metadata(name.removeprefix(PREFIX), text)
        elif name == FORWARDED_FOR:
            if _TEXT.fullmatch(text):
                forwarded_for.append(text)
        elif name == "grpc-timeout":
            if timeout is not None:
                raise BadHeaderError("Grpc-Timeout: must be given only once")
            try:
                timeout = decode_timeout(value.strip())
            except ValueError:
                raise BadHeaderError("Grpc-Timeout: must be up to eight digits and one of H M S m u n") from None
    if client is not None:
        forwarded_for.append(client)
    if forwarded_for:
        metadata.append((FORWARDED_FOR, ", ".join(forwarded_for)))
    check_size(metadata)
    return CallContext(metadata, timeout)


def check_size(metadata: MetadataList) -> None:
    """Refuse metadata of more than `MAX_SIZE` bytes.

    Raises:
        BadHeaderError: It exceeds that size.
    """
    size = sum(len(key) + len(text) + 32 for key, text in encode_metadata(metadata))
    if size > MAX_SIZE:
        raise BadHeaderError(f"too much metadata: {size} bytes of at most {MAX_SIZE}")


def response_headers(
    initial: Mapping[str, str | bytes] | None, trailing: Mapping[str, str | bytes] | None
) -> list[tuple[str, str]]:
    """The response's metadata as headers: ``grpc-metadata-NAME``, ``grpc-trailer-NAME``.

    Binary values are base64. What a header cannot carry, or exceeds the limits, is left out.
    """
    headers: list[tuple[str, str]] = []
    left = MAX_RETURNED_SIZE
    for prefix, metadata in ((PREFIX, initial), (TRAILER_PREFIX, trailing)):
        for name, value in (metadata or {}).items():
            text = encode_bin(value).decode() if isinstance(value, bytes) else value.strip()
            size = len(prefix) + len(name) + len(text) + len(": \r\n")
            if size <= left and len(headers) < MAX_RETURNED and _NAME.fullmatch(name) and _TEXT.fullmatch(text):
                headers.append((prefix + name, text))
                left -= size
    return headers


def _can_be_sent(name: str, text: str) -> bool:
    try:
        encode_metadata([(name, text)])
    except (ValueError, TypeError):  # A -bin name, such as x-b3-bin, requires bytes.
        return False
    return True


def _requested_metadata(name: str, text: str) -> MetadataList:
    """The metadata for ``Grpc-Metadata-NAME: text``; a binary header may hold several values."""
    plain = name.replace("_", "-").removesuffix("-bin")
    if plain in _OURS or plain.startswith(_OURS_PREFIXES):
        raise BadHeaderError(f"Grpc-Metadata-{name}: {plain} is the gateway's own, and can't be set this way")
    try:
        found: MetadataList
        if name.endswith("-bin"):
            found = [(name, decode_bin(item.strip(" \t").encode())) for item in text.split(",")]
        else:
            found = [(name, text)]
        encode_metadata(found)
    except ValueError as error:
        raise BadHeaderError(f"Grpc-Metadata-{name}: {error}") from None
    return found
