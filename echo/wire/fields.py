"""Checks that a header list is well-formed HTTP/2 (RFC 9113 §8.2, §8.3), with the rules common to all HTTP messages.

A malformed list ends its stream and nothing else (§8.1.1): behind a proxy, many callers share a connection. Two rules
are milder than the RFC's, as gRPC asks. Whitespace around a value is stripped, not refused. ``:authority`` takes
precedence over a ``host`` that differs from it. A request with neither is still a valid call.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from echo.wire.errors import MalformedError
from echo.wire.header_lists import FIELD_OVERHEAD, Field
from echo.wire.metadata import CONNECTION_SPECIFIC, SHARED_NAMES

REQUEST: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
RESPONSE: Final = frozenset({b":status"})
TRAILERS: Final[frozenset[bytes]] = frozenset()  # RFC 9113 §8.1

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")  # RFC 9110 §5.1, without capitals.
_FORBIDDEN: Final = re.compile(rb"[\0\r\n]")  # Nowhere in a value (RFC 9113 §8.2.1).
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
# Names that gRPC reserves, in addition to those that begin with grpc- (gRPC over HTTP/2, "Requests").
_OWN: Final = frozenset({b"content-type", b"user-agent", b"grpc-timeout", b"grpc-status", b"grpc-accept-encoding"})


class FieldList(NamedTuple):
    """A well-formed header list.

    Attributes:
        pseudo: The pseudo-header fields by name.
        own: The fields that HTTP/2 and gRPC use, by name; of repeated ones the last counts.
        custom: The other fields, in order: the application's metadata.
        content_length: The announced size of the DATA, or None.
        size: As SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 §6.5.2).
    """

    pseudo: dict[bytes, bytes]
    own: dict[bytes, bytes]
    custom: list[Field]
    content_length: int | None
    size: int


def check_fields(fields: Sequence[Field], allowed: frozenset[bytes]) -> FieldList:
    """Check a header list and sort its fields.

    Args:
        fields: The decoded header list.
        allowed: The pseudo-header fields it may have: `REQUEST`, `RESPONSE` or `TRAILERS`.

    Raises:
        MalformedError: The list is malformed.
    """
    pseudo: dict[bytes, bytes] = {}
    own: dict[bytes, bytes] = {}
    custom: list[Field] = []
    octets: list[bytes] = []
    for name, value in fields:
        octets += (name, value)
        if name in _OWN:
            own[name] = value
        elif name[:1] == b":":
            if name not in allowed:
                raise MalformedError(f"the pseudo-header field {_show(name)} is not allowed there")
            if own or custom:
                raise MalformedError(f"the pseudo-header field {_show(name)} follows other fields")
            if name in pseudo:
                raise MalformedError(f"the pseudo-header field {_show(name)} is repeated")
            pseudo[name] = value
        elif not _NAME.fullmatch(name):
            raise MalformedError(f"the field name {_show(name)} is not allowed in HTTP/2")
        elif name in CONNECTION_SPECIFIC:
            raise MalformedError(f"the field {_show(name)} is for HTTP/1.1")
        elif name == b"content-length":
            own[name] = _content_length(value, own.get(name))
        elif name == b"te" and value.strip(b" \t") != b"trailers":
            raise MalformedError(f"te is {_show(value)}, not 'trailers'")
        elif name in (b"te", b"host") or (name.startswith(b"grpc-") and name not in SHARED_NAMES):
            own[name] = value
        else:
            custom.append((name, value))
    joined = b"".join(octets)
    if _FORBIDDEN.search(joined):
        raise MalformedError("a field's name or value contains a line break or NUL")
    length = own.get(b"content-length")
    size = len(joined) + FIELD_OVERHEAD * len(fields)
    return FieldList(pseudo, own, custom, None if length is None else int(length), size)


def check_request(fields: Sequence[Field]) -> FieldList:
    """Check a request's header list and sort its fields.

    Raises:
        MalformedError: The list is malformed or lacks a pseudo-header field (RFC 9113 §8.3.1).
    """
    checked = check_fields(fields, REQUEST)
    pseudo = checked.pseudo
    if b"host" in checked.own:
        pseudo.setdefault(b":authority", checked.own[b"host"])
    connect = pseudo.get(b":method") == b"CONNECT"  # RFC 9113 §8.5
    for name in (b":method",) if connect else (b":method", b":scheme", b":path"):
        if not pseudo.get(name):
            raise MalformedError(f"the request has no {_show(name)}")
    return checked


def check_response(fields: Sequence[Field]) -> FieldList:
    """Check a response's header list and sort its fields.

    Raises:
        MalformedError: The list is malformed or has no three-digit status (RFC 9113 §8.3.2).
    """
    checked = check_fields(fields, RESPONSE)
    status = checked.pseudo.get(b":status", b"")
    if len(status) != 3 or not status.isdigit():
        raise MalformedError(f"the response's :status is {_show(status)}")
    return checked


def _content_length(value: bytes, known: bytes | None) -> bytes:
    value = value.strip(b" \t")
    if not _DIGITS.fullmatch(value) or (known is not None and known != value):
        raise MalformedError(f"content-length is {_show(value)}")
    return value


def _show(octets: bytes) -> str:
    """Quote a peer's bytes for a message: short and printable."""
    return repr(octets[:64].decode("latin-1"))
