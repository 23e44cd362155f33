"""Status codes and messages in trailers, and the statuses that HTTP errors and resets map to.

The codes themselves are grpclib's (`Status`, `GRPCError`), which echo's users raise and catch. Header values are
bytes, as on the wire.
"""

import re
from typing import Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from echo.wire.frames import ErrorCode

__all__ = [
    "GRPCError",
    "Status",
    "decode_status_message",
    "encode_status_message",
    "parse_status",
    "status_from_http",
    "status_from_reset",
]

# Characters to percent-encode in grpc-message. The spec allows plain spaces, but HTTP/2 forbids them at the start and
# end of a field value (RFC 9113 §8.2.1) and libraries strip them, so those two are encoded as well.
_ENCODED: Final = re.compile(rb"[^ -$&-~]|^ | \Z")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")

_BY_NUMBER: Final = {b"%d" % status.value: status for status in Status}

_BY_HTTP: Final = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    431: Status.INTERNAL,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}

_BY_ERROR_CODE: Final[dict[int, Status]] = {
    ErrorCode.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCode.CANCEL: Status.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}


def encode_status_message(text: str) -> bytes:
    """Percent-encode a message for ``grpc-message`` (gRPC over HTTP/2, "Responses": Status-Message).

    Takes any text and never raises: a lone surrogate, which has no UTF-8 form, is sent as U+FFFD. The result is
    printable ASCII and neither begins nor ends with a space.
    """
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        # UTF-16 joins surrogate pairs and leaves only the lone ones to be replaced.
        octets = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    return _ENCODED.sub(lambda found: b"%%%02X" % found[0][0], octets)


def decode_status_message(octets: bytes) -> str:
    """Read a ``grpc-message`` back into text.

    Drops nothing and never raises (gRPC over HTTP/2, "Responses": a decoder must not fail on invalid values). Invalid
    percent sequences and plain UTF-8 are kept unchanged; bytes that are not UTF-8 become U+FFFD.
    """
    if b"%" in octets:
        octets = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), octets)
    return octets.decode("utf-8", "replace")


def parse_status(value: bytes) -> Status:
    """Read a ``grpc-status``; UNKNOWN for a code that grpclib does not define and for anything not a number."""
    status = _BY_NUMBER.get(value)
    if status is None and value.isdigit():
        status = _BY_NUMBER.get(value.lstrip(b"0") or b"0")
    return status or Status.UNKNOWN


def status_from_http(http_status: int) -> Status:
    """The status of a response that has no ``grpc-status``, from its HTTP status."""
    return _BY_HTTP.get(http_status, Status.UNKNOWN)


def status_from_reset(error_code: int) -> Status:
    """The status of a call the server reset, from RST_STREAM's error code (RFC 9113 §7; gRPC over HTTP/2, "Errors").

    INTERNAL for codes that the table does not list, including NO_ERROR and unknown codes: the call got no status.
    """
    return _BY_ERROR_CODE.get(error_code, Status.INTERNAL)
