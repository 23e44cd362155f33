"""The header lists of a gRPC call: request, response and trailers (gRPC over HTTP/2, "Requests" and "Responses").

Each is a small class: ``fields()`` builds the list for HPACK, and ``parse_*`` reads a received list that is well-formed
HTTP/2 (`echo.wire.fields`); `echo.wire.received_request` reads requests. Treat them as read-only. They are not frozen,
because freezing triples the cost of creating one and every call creates three. For a response that is not gRPC, a
client gets `Trailers` with the status that ends its call.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from platform import python_implementation, python_version
from typing import Final

from multidict import MultiDict

from echo.wire.compression import ACCEPT_ENCODING, IDENTITY, SUPPORTED
from echo.wire.fields import FieldList
from echo.wire.header_lists import Field, list_size
from echo.wire.metadata import Metadata, decode_bin, decode_metadata, encode_bin, encode_metadata
from echo.wire.not_grpc import HOP, NO_STATUS, describe_answer, excerpt
from echo.wire.status import (
    Status,
    decode_status_message,
    encode_status_message,
    parse_status,
    status_from_http,
)
from echo.wire.timeout import encode_timeout

CONTENT_TYPE: Final = "application/grpc"
MAX_METHODS: Final = 256  # Of so many methods the fields that requests share are remembered, in the whole process.
# Peers refuse header lists above 8 or 16 KiB. A character takes up to twelve of those bytes, but usually one.
MAX_STATUS_MESSAGE: Final = 1_024
USER_AGENT: Final = f"grpc-python-echo/0.1.0 ({python_implementation().lower()}/{python_version()})"

_POST: Final = (b":method", b"POST")
_TE: Final = (b"te", b"trailers")
_CONTENT_TYPE: Final = (b"content-type", CONTENT_TYPE.encode())
_ACCEPT_ENCODING: Final = (b"grpc-accept-encoding", ACCEPT_ENCODING.encode())
_OK: Final = (b":status", b"200")
_HEAD: Final = (_OK, _CONTENT_TYPE, _ACCEPT_ENCODING)
_STATUSES: Final = {status: (b"grpc-status", b"%d" % status.value) for status in Status}
_SUCCESS: Final = (_STATUSES[Status.OK],)
ENCODINGS: Final = {encoding.encode(): encoding for encoding in SUPPORTED}
_IDENTITY: Final = IDENTITY.encode()


@dataclass(slots=True)
class Request:
    """The head of a call.

    Attributes:
        path: ``/package.Service/Method``.
        scheme: ``http`` or ``https``.
        authority: The server's name, as the client knows it.
        timeout: Seconds that the client allows for the call, or None.
        metadata: The application's metadata.
        encoding: The encoding of messages that are marked as compressed.
        user_agent: The client's ``user-agent``.
        content_type: As received.
        accept_encoding: As received: encodings the client can decode, comma-separated. Empty means ``identity`` only.
    """

    path: str
    scheme: str = "http"
    authority: str = ""
    timeout: float | None = None
    metadata: Metadata = field(default_factory=MultiDict)
    encoding: str = IDENTITY
    user_agent: str | None = USER_AGENT
    content_type: str = CONTENT_TYPE
    accept_encoding: str = ""

    def fields(self) -> list[Field]:
        """The header list: pseudo-header fields, the other fields that a method's requests share, then its own.

        So ``grpc-timeout`` stands further behind than in the spec's grammar, as it does in grpc-go's requests. The
        order means nothing, and a server can recognise the start.

        Raises:
            ValueError, TypeError: The metadata cannot be sent.
        """
        path, scheme, authority = self.path, self.scheme, self.authority
        fields = [*shared_fields(path, scheme, authority, self.encoding, self.content_type, self.user_agent)[0]]
        if self.timeout is not None:
            fields.append((b"grpc-timeout", encode_timeout(self.timeout).encode()))
        return fields + encode_metadata(self.metadata)


@lru_cache(MAX_METHODS)
def shared_fields(
    path: str, scheme: str, authority: str, encoding: str, content_type: str, user_agent: str | None
) -> tuple[tuple[Field, ...], int]:
    """The fields that all requests of a method share, and their size. Arguments are attributes of `Request`."""
    fields = (
        _POST,
        (b":scheme", scheme.encode()),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        _TE,
        (b"content-type", content_type.encode()),
        (b"user-agent", (user_agent or USER_AGENT).encode()),
        _ACCEPT_ENCODING,
        *(() if encoding == IDENTITY else ((b"grpc-encoding", encoding.encode()),)),
    )
    return fields, list_size(fields)


def message_format(content_type: str) -> str | None:
    """The suffix of ``application/grpc+``; None if the type is not gRPC (``application/grpc-web`` is not)."""
    media_type, _, subtype = content_type.partition(";")[0].strip().lower().partition("+")
    return subtype if media_type == CONTENT_TYPE else None


@dataclass(slots=True)
class Response:
    """The head of a server's response: initial metadata, and the encoding of compressed messages."""

    metadata: Metadata = field(default_factory=MultiDict)
    encoding: str = IDENTITY

    def fields(self) -> Sequence[Field]:
        """The header list.

        Raises:
            ValueError, TypeError: The metadata cannot be sent.
        """
        if self.encoding == IDENTITY and not self.metadata:
            return _HEAD
        fields = [*_HEAD]
        if self.encoding != IDENTITY:
            fields.append((b"grpc-encoding", self.encoding.encode()))
        return fields + encode_metadata(self.metadata)


@dataclass(slots=True)
class Trailers:
    """How a call ended.

    Attributes:
        status: The status code.
        message: A readable message in any Unicode, or None.
        details: The bytes of a ``google.rpc.Status``, or None.
        metadata: The application's trailing metadata.
    """

    status: Status = Status.OK
    message: str | None = None
    details: bytes | None = None
    metadata: Metadata = field(default_factory=MultiDict)

    def fields(self, *, with_head: bool) -> Sequence[Field]:
        """The header list; ``with_head`` if no response head was sent before ("Trailers-Only").

        Raises:
            ValueError, TypeError: The metadata cannot be sent.
        """
        if self.status is Status.OK and not (with_head or self.message or self.metadata or self.details is not None):
            return _SUCCESS
        fields: list[Field] = [*_HEAD] if with_head else []
        fields.append(_STATUSES[self.status])
        if self.message:
            fields.append((b"grpc-message", encode_status_message(self.message[:MAX_STATUS_MESSAGE])))
        if self.details is not None:
            fields.append((b"grpc-status-details-bin", encode_bin(self.details)))
        return fields + encode_metadata(self.metadata)


def parse_response(received: FieldList, *, ended: bool) -> Response | Trailers:
    """Read the first header list of a response: its head, or trailers if the list ends the call."""
    names = received.own
    http_status = received.pseudo[b":status"]
    if b"grpc-status" in names and ended:
        return parse_trailers(received)
    if http_status != b"200":
        text = describe_answer(http_status.decode()) + excerpt(decode_status_message(names.get(b"grpc-message", b"")))
        return Trailers(status_from_http(int(http_status)), text)
    content_type = names.get(b"content-type", b"").decode("latin-1")
    if content_type != CONTENT_TYPE and message_format(content_type) is None:
        return Trailers(Status.UNKNOWN, f"{HOP} answered with content-type {content_type[:64]!r} instead of gRPC")
    if ended:
        return Trailers(Status.UNKNOWN, NO_STATUS)
    encoding = ENCODINGS.get(names.get(b"grpc-encoding", _IDENTITY))
    if encoding is None:
        asked = names[b"grpc-encoding"][:64].decode("latin-1")
        return Trailers(Status.INTERNAL, f"the response is compressed by {asked!r}, which is not supported")
    try:
        return Response(decode_metadata(received.custom) if received.custom else MultiDict(), encoding)
    except ValueError as error:
        return Trailers(Status.INTERNAL, str(error))


def parse_trailers(received: FieldList) -> Trailers:
    """Read the header list that ends a response."""
    names = received.own
    if b"grpc-status" not in names:
        return Trailers(Status.UNKNOWN, NO_STATUS)
    status = parse_status(names[b"grpc-status"].strip(b" \t"))
    octets = names.get(b"grpc-message")
    details = names.get(b"grpc-status-details-bin")
    message = None if octets is None else decode_status_message(octets.strip(b" \t"))
    try:
        return Trailers(
            status,
            message,
            None if details is None else decode_bin(details.strip(b" \t")),
            decode_metadata(received.custom) if received.custom else MultiDict(),
        )
    except ValueError as error:
        # An error status and its message are kept. OK becomes INTERNAL, or the damaged metadata would go unnoticed.
        if status is Status.OK:
            return Trailers(Status.INTERNAL, str(error))
        return Trailers(status, message or str(error))
