"""The header lists of a gRPC call: request, response and trailers (gRPC over HTTP/2, "Requests" and "Responses").

Each is a small class with two ways: ``fields()`` gives the list for HPACK, ``parse_*`` takes one that came. Lists are
pairs of strings in latin-1, as `echo.wire.http2` hands them over. What cannot be a gRPC message is reported as
`Rejected` to a server, which answers, or as a `Trailers` with the right status to a client, whose call has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from platform import python_implementation, python_version
from typing import Final

from multidict import MultiDict

from echo.wire.compression import ACCEPT_ENCODING, IDENTITY, SUPPORTED
from echo.wire.metadata import Metadata, decode_bin, decode_metadata, encode_bin, encode_metadata
from echo.wire.status import (
    Status,
    decode_status_message,
    encode_status_message,
    parse_status,
    status_from_http,
)
from echo.wire.timeout import decode_timeout, encode_timeout

Fields = Sequence[tuple[str, str]]

CONTENT_TYPE: Final = "application/grpc"
# Peers refuse header lists above 8 or 16 KiB. A character is at most twelve of those bytes, but in most texts one.
MAX_STATUS_MESSAGE: Final = 1_024
USER_AGENT: Final = f"grpc-python-echo/0.1.0 ({python_implementation().lower()}/{python_version()})"


class Rejected(Exception):
    """A request that is no gRPC call we can serve. ``fields`` is the whole answer, to be sent with END_STREAM."""

    def __init__(self, reason: str, fields: list[tuple[str, str]]) -> None:
        super().__init__(reason)
        self.fields = fields


def _rejected(http_status: int, status: Status, message: str) -> Rejected:
    trailers = Trailers(status, message).fields(with_head=False)
    head = [(":status", str(http_status)), ("content-type", CONTENT_TYPE)]
    return Rejected(message, [*head, ("grpc-accept-encoding", ACCEPT_ENCODING), *trailers])


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a call. One that came may stand for many calls with the same head: do not change its metadata.

    Attributes:
        path: ``/package.Service/Method``.
        scheme: ``http`` or ``https``.
        authority: What the client takes the server's name to be.
        timeout: Seconds the client gives the call, or None.
        metadata: What the application sent along.
        encoding: How messages marked as compressed are compressed.
        user_agent: Who calls.
        content_type: As received.
        accept_encoding: As received: the encodings the client can read, by commas. Empty for none but ``identity``.
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

    def fields(self) -> list[tuple[str, str]]:
        """The header list, pseudo-header fields first, ``grpc-timeout`` straight after them as the spec orders it.

        Raises:
            ValueError, TypeError: The metadata cannot be sent.
        """
        fields = [
            (":method", "POST"),
            (":scheme", self.scheme),
            (":path", self.path),
            (":authority", self.authority),
        ]
        if self.timeout is not None:
            fields.append(("grpc-timeout", encode_timeout(self.timeout)))
        fields += [
            ("te", "trailers"),
            ("content-type", self.content_type),
            ("user-agent", self.user_agent or USER_AGENT),
            ("grpc-accept-encoding", ACCEPT_ENCODING),
        ]
        if self.encoding != IDENTITY:
            fields.append(("grpc-encoding", self.encoding))
        if self.metadata:
            fields += encode_metadata(self.metadata)
        return fields


def parse_request(fields: Fields) -> Request:
    """Read a request's header list.

    Raises:
        Rejected: With the answer to give: HTTP 405 or 415 for what is no gRPC at all (gRPC over HTTP/2, "Requests"),
            a trailers-only response for gRPC that cannot be served.
    """
    names = dict(fields)
    if names.get(":method") != "POST":
        raise _rejected(405, Status.INTERNAL, "gRPC calls use the method POST")
    content_type = names.get("content-type", "")
    if not _is_grpc(content_type):
        raise _rejected(415, Status.UNKNOWN, f"content-type {content_type!r} is not {CONTENT_TYPE}")
    encoding = names.get("grpc-encoding", IDENTITY)
    if encoding not in SUPPORTED:
        raise _rejected(200, Status.UNIMPLEMENTED, f"grpc-encoding {encoding!r} is not supported")
    try:
        timeout = decode_timeout(names["grpc-timeout"]) if "grpc-timeout" in names else None
        metadata = decode_metadata(fields)
    except ValueError as error:
        raise _rejected(200, Status.INTERNAL, str(error)) from error
    return Request(
        path=names.get(":path", ""),
        scheme=names.get(":scheme", "http"),
        authority=names.get(":authority", ""),
        timeout=timeout,
        metadata=metadata,
        encoding=encoding,
        user_agent=names.get("user-agent"),
        content_type=content_type,
        accept_encoding=names.get("grpc-accept-encoding", ""),
    )


def _is_grpc(content_type: str) -> bool:
    # Bare, or with the one message format we speak; parameters may follow.
    return content_type.partition(";")[0].strip() in (CONTENT_TYPE, CONTENT_TYPE + "+proto")


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a server's answer: initial metadata, and how compressed messages are compressed."""

    metadata: Metadata = field(default_factory=MultiDict)
    encoding: str = IDENTITY

    def fields(self) -> list[tuple[str, str]]:
        """The header list.

        Raises:
            ValueError, TypeError: The metadata cannot be sent.
        """
        fields = [
            (":status", "200"),
            ("content-type", CONTENT_TYPE),
            ("grpc-accept-encoding", ACCEPT_ENCODING),
        ]
        if self.encoding != IDENTITY:
            fields.append(("grpc-encoding", self.encoding))
        if self.metadata:
            fields += encode_metadata(self.metadata)
        return fields


@dataclass(frozen=True, slots=True)
class Trailers:
    """How a call ended.

    Attributes:
        status: The code.
        message: For people, any Unicode, or None.
        details: The bytes of a ``google.rpc.Status``, or None.
        metadata: What the application sent along.
        head_only: The response consists of these alone ("Trailers-Only").
    """

    status: Status = Status.OK
    message: str | None = None
    details: bytes | None = None
    metadata: Metadata = field(default_factory=MultiDict)
    head_only: bool = False

    def fields(self, *, with_head: bool) -> list[tuple[str, str]]:
        """The header list; ``with_head`` where no response head went before ("Trailers-Only").

        Raises:
            ValueError, TypeError: The metadata cannot be sent.
        """
        fields = Response().fields() if with_head else []
        fields.append(("grpc-status", str(self.status.value)))
        if self.message:
            fields.append(("grpc-message", encode_status_message(self.message[:MAX_STATUS_MESSAGE])))
        if self.details is not None:
            fields.append(("grpc-status-details-bin", encode_bin(self.details)))
        if self.metadata:
            fields += encode_metadata(self.metadata)
        return fields


def parse_response(fields: Fields, *, ended: bool) -> Response | Trailers:
    """Read the first header list of a response: its head, or trailers alone if the call is over with it."""
    names = dict(fields)
    http_status = names.get(":status", "")
    if "grpc-status" in names and ended:
        return _trailers(fields, names, head_only=True)
    if http_status != "200":
        known = len(http_status) == 3 and http_status.isascii() and http_status.isdigit()  # RFC 9110 §15
        status = status_from_http(int(http_status)) if known else Status.UNKNOWN
        return Trailers(status, f"the server answered HTTP {http_status[:20]}", head_only=True)
    content_type = names.get("content-type", "")
    if not _is_grpc(content_type):
        return Trailers(Status.UNKNOWN, f"the server answered with content-type {content_type!r}", head_only=True)
    if ended:
        return Trailers(Status.UNKNOWN, "the server ended the call without a status", head_only=True)
    encoding = names.get("grpc-encoding", IDENTITY)
    if encoding not in SUPPORTED:
        return Trailers(Status.INTERNAL, f"the server compresses by {encoding!r}, which is not supported")
    try:
        return Response(decode_metadata(fields), encoding)
    except ValueError as error:
        return Trailers(Status.INTERNAL, str(error), head_only=True)


def parse_trailers(fields: Fields) -> Trailers:
    """Read the header list that ends a response."""
    names = dict(fields)
    if "grpc-status" not in names:
        return Trailers(Status.UNKNOWN, "the server ended the call without a status")
    return _trailers(fields, names, head_only=False)


def _trailers(fields: Fields, names: dict[str, str], *, head_only: bool) -> Trailers:
    status = parse_status(names["grpc-status"])
    message = names.get("grpc-message")
    details = names.get("grpc-status-details-bin")
    try:
        return Trailers(
            status,
            None if message is None else decode_status_message(message),
            None if details is None else decode_bin(details),
            decode_metadata(fields),
            head_only,
        )
    except ValueError as error:
        # The status itself is sound; what came along is not. A wrong "OK" would hide that.
        return Trailers(Status.INTERNAL if status is Status.OK else status, str(error), head_only=head_only)
