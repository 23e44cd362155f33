"""Reads a request's header list (gRPC over HTTP/2, "Requests").

For a request that is not gRPC, or that cannot be served, the server gets `Rejected` with the answer to send.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from sys import intern

from multidict import MultiDict

from echo.wire.fields import FieldList
from echo.wire.head import CONTENT_TYPE, ENCODINGS, Request, Trailers, message_format
from echo.wire.header_lists import Field
from echo.wire.metadata import Metadata, decode_metadata
from echo.wire.status import Status, encode_status_message
from echo.wire.timeout import decode_timeout


@dataclass(slots=True)
class Rejected:
    """A request that cannot be served.

    Attributes:
        trailers: The reason, as a gRPC status.
        head: For a request that is not gRPC, the head of an answer in plain HTTP,
        body: and its body, a readable text.
    """

    trailers: Trailers
    head: Sequence[Field] = ()
    body: bytes = b""


def _not_grpc(method: bytes, http_status: int, code: Status, text: str) -> Rejected:
    """An answer in plain HTTP for browsers and curl; its ``grpc-status`` serves gRPC clients."""
    status = (b"grpc-status", b"%d" % code.value)
    message = (b"grpc-message", encode_status_message(text))
    head = [(b":status", b"%d" % http_status), (b"content-type", b"text/plain; charset=utf-8"), status, message]
    body = b"" if method == b"HEAD" else f"This port speaks gRPC: {text}.\n".encode()
    return Rejected(Trailers(code, f"HTTP {http_status}: {text}"), head, body)


def _refused(status: Status, message: str) -> Rejected:
    return Rejected(Trailers(status, message))


def parse_request(received: FieldList, max_size: int) -> Request | Rejected:
    """Read a request's header list, of at most ``max_size`` (RFC 9113 §6.5.2).

    The answer is HTTP 405 or 415 for a request that is not gRPC (gRPC over HTTP/2, "Requests"), a status for a gRPC
    request that cannot be served.
    """
    if received.size > max_size:
        text = f"request metadata of {received.size} bytes exceeds the limit of {max_size}"
        return _refused(Status.RESOURCE_EXHAUSTED, text)
    pseudo = received.pseudo
    names = received.own
    method = pseudo[b":method"]
    if method != b"POST":
        return _not_grpc(method, 405, Status.INTERNAL, "calls use the method POST")
    content_type = names.get(b"content-type", b"").decode("latin-1")
    subtype = "" if content_type == CONTENT_TYPE else message_format(content_type)
    if subtype is None:
        return _not_grpc(method, 415, Status.UNKNOWN, f"content-type {content_type[:64]!r} is not {CONTENT_TYPE}")
    if subtype not in ("", "proto"):
        return _refused(Status.UNIMPLEMENTED, f"messages in the format {subtype[:64]!r} are not supported")
    encoding = ENCODINGS.get(names.get(b"grpc-encoding", b"identity"))
    if encoding is None:
        asked = names[b"grpc-encoding"][:64].decode("latin-1")
        return _refused(Status.UNIMPLEMENTED, f"grpc-encoding {asked!r} is not supported")
    timeout = names.get(b"grpc-timeout")
    user_agent = names.get(b"user-agent")
    try:
        # Interned, so that many similar idle streams share one copy of each string.
        return Request(
            intern(pseudo[b":path"].decode("latin-1")),
            intern(pseudo[b":scheme"].decode("latin-1")),
            intern(pseudo.get(b":authority", b"").decode("latin-1")),
            None if timeout is None else decode_timeout(timeout),
            decode_metadata(received.custom),
            encoding,
            None if user_agent is None else intern(user_agent.decode("latin-1")),
            intern(content_type),
            intern(names.get(b"grpc-accept-encoding", b"").decode("latin-1")),
        )
    except ValueError as error:
        return _refused(Status.INTERNAL, str(error))


def read_refused(received: FieldList) -> Request:
    """The parts of a refused request that a log may show: its path and its text metadata."""
    metadata: Metadata = MultiDict()
    for name, value in received.custom:
        if not name.endswith(b"-bin"):
            metadata.add(name.decode("latin-1"), value.decode("latin-1"))
    return Request(received.pseudo.get(b":path", b"").decode("latin-1"), metadata=metadata)
