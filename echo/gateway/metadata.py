"""HTTP headers <-> gRPC metadata and deadline: what a call takes along from the request, and what it brings back.

Passed on by themselves are the headers of identity and tracing; ``Grpc-Metadata-NAME`` goes as ``NAME``. What gRPC
can't carry (names and values must be printable ASCII, some names are reserved; gRPC over HTTP/2, "Requests") is treated
by who asked for it: a header that would be passed on by itself is left out, a ``Grpc-Metadata-`` header, by which the
client asks for nothing else, makes the request a bad one.
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

REQUEST_ID: Final = "x-request-id"
FORWARDED_FOR: Final = "x-forwarded-for"

_PASSED_ON: Final = frozenset({"authorization", "traceparent", "tracestate", "baggage", "b3"})
_PASSED_ON_PREFIX: Final = "x-b3-"
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

    Binary values are in base64. Values that an HTTP header can't carry are left out.
    """
    return [
        (prefix + name, text)
        for prefix, metadata in ((PREFIX, initial), (TRAILER_PREFIX, trailing))
        for name, value in (metadata or {}).items()
        if _TEXT.fullmatch(text := encode_bin(value).decode() if isinstance(value, bytes) else value)
    ]


def _can_be_sent(name: str, text: str) -> bool:
    try:
        encode_metadata([(name, text)])
    except (ValueError, TypeError):  # A -bin name, such as x-b3-bin, wants bytes.
        return False
    return True


def _asked_for(name: str, text: str) -> MetadataList:
    """The metadata that ``Grpc-Metadata-NAME: text`` asks for; a binary one may hold several values."""
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
