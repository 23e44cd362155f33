"""HTTP headers <-> gRPC metadata and deadline: what a call takes along from the request, and what it brings back.

Headers of identity and tracing are passed on under their own names; ``Grpc-Metadata-NAME`` is passed on as ``NAME``.
What gRPC can't carry (names and values must be printable ASCII, some names are reserved; gRPC over HTTP/2, "Requests")
is left out if it would have been passed on by itself, and refused with 400 in a ``Grpc-Metadata-`` header, which has no
other purpose.

Nor does such a header set what the gateway sets, passes on or vouches for: request id, tracing, authorization, who the
client is (``x-forwarded-*`` and its relatives), and what belongs to gRPC and HTTP/2. Otherwise a client could forge its
address, or give the server two request ids. Refused rather than ignored, since the client asked for something it will
not get. Spellings with underscores, and with ``-bin`` at the end, count as the same name.

Metadata of the response becomes ``Grpc-Metadata-NAME`` and ``Grpc-Trailer-NAME``. Names that are not gRPC's, and values
that no header can carry, are left out; so is what exceeds `MAX_RETURNED` fields or `MAX_RETURNED_SIZE` bytes, which
HTTP clients and proxies would answer by dropping the whole response.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import uuid4

from echo.wire import decode_bin, decode_timeout, encode_bin, encode_metadata

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
"""As in an ASGI scope: names in lower case."""

MetadataList: TypeAlias = list[tuple[str, str | bytes]]

PREFIX: Final = "grpc-metadata-"
TRAILER_PREFIX: Final = "grpc-trailer-"
MAX_SIZE: Final = 8 * 1024
"""Bytes of metadata of one call, counted as RFC 9113 §6.5.2 does: what servers take without complaint. More could cost
the connection, which other clients' calls share."""

MAX_RETURNED: Final = 64
"""Fields of metadata in one response. Python's own client takes a hundred headers altogether."""

MAX_RETURNED_SIZE: Final = 8 * 1024
"""Bytes of them as HTTP/1.1 writes them: half of what Node.js and haproxy take as the whole head of a response."""

REQUEST_ID: Final = "x-request-id"
INSTANCE_HEADER: Final = "x-echo-instance"
FORWARDED_FOR: Final = "x-forwarded-for"

_PASSED_ON: Final = frozenset({"authorization", "traceparent", "tracestate", "baggage", "b3"})
_PASSED_ON_PREFIX: Final = "x-b3-"
# What no ``Grpc-Metadata-`` header sets. `encode_metadata` refuses what gRPC and HTTP/2 reserve, but not its spellings.
_OURS: Final = frozenset(
    {
        *_PASSED_ON,
        *(REQUEST_ID, "forwarded", "via", "x-real-ip"),
        *("te", "content-type", "user-agent", "host", "content-length"),
        *("connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"),
    }
)
_OURS_PREFIXES: Final = (_PASSED_ON_PREFIX, "x-forwarded-", "x-envoy-", "grpc-")
_NAME: Final = re.compile(r"[0-9a-z_.-]+", re.ASCII)
_TEXT: Final = re.compile(r"[ -~]*", re.ASCII)
_LONGEST_REQUEST_ID: Final = 256


class BadHeaderError(Exception):
    """A header of the request that can't be honoured. Its text is for the client, and holds no header's value."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call takes along.

    Attributes:
        metadata: To be sent.
        timeout: Seconds the client gives the call; None if it does not say.
    """

    metadata: MetadataList
    timeout: float | None


def request_id_of(headers: Headers) -> str:
    """The request's ``x-request-id``, or a new one if it has none that could be passed on and returned."""
    for name, value in headers:
        if name == b"x-request-id":
            text = value.decode("latin-1").strip()
            if text and len(text) <= _LONGEST_REQUEST_ID and _TEXT.fullmatch(text):
                return text
    return str(uuid4())


def call_context(headers: Headers, request_id: str, client: str | None) -> CallContext:
    """What a call shall take along of the request it is made for.

    Args:
        headers: Of the request.
        request_id: As from `request_id_of`.
        client: Address of the peer, to be appended to ``x-forwarded-for``.

    Raises:
        BadHeaderError: A malformed ``Grpc-Timeout``, a ``Grpc-Metadata-`` header that can't be passed on, or too much.
    """
    metadata: MetadataList = [(REQUEST_ID, request_id)]
    forwarded_for: list[str] = []
    timeout: float | None = None
    for octets, value in headers:
        name, text = octets.decode("latin-1").lower(), value.decode("latin-1").strip()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIX):
            if _can_be_sent(name, text):
                metadata.append((name, text))
        elif name.startswith(PREFIX):
            metadata += _asked_for(name.removeprefix(PREFIX), text)
        elif name == FORWARDED_FOR:
            if _TEXT.fullmatch(text):
                forwarded_for.append(text)
        elif name == "grpc-timeout":
            if timeout is not None:
                raise BadHeaderError("Grpc-Timeout: there is more than one")
            try:
                timeout = decode_timeout(text)
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
        BadHeaderError: There is too much.
    """
    size = sum(len(key) + len(text) + 32 for key, text in encode_metadata(metadata))
    if size > MAX_SIZE:
        raise BadHeaderError(f"too much metadata: {size} bytes of at most {MAX_SIZE}")


def response_headers(
    initial: Mapping[str, str | bytes] | None, trailing: Mapping[str, str | bytes] | None
) -> list[tuple[str, str]]:
    """Headers that tell the client what metadata came back: ``grpc-metadata-NAME``, ``grpc-trailer-NAME``.

    Binary values are in base64. What a header can't carry, and what there is too much of, is left out.
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
    except (ValueError, TypeError):  # A -bin name, such as x-b3-bin, wants bytes.
        return False
    return True


def _asked_for(name: str, text: str) -> MetadataList:
    """The metadata that ``Grpc-Metadata-NAME: text`` asks for; a binary one may hold several values."""
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
