"""Readable messages for a client that received something other than gRPC.

A client cannot tell the server from a proxy in front of it, so the messages blame neither.
"""

from http import HTTPStatus
from typing import Final

from echo.printable import printable
from echo.wire.fields import FieldList

HOP: Final = "the server or a proxy on the way"  # Either may have answered.
NO_STATUS: Final = f"{HOP} ended the call without a gRPC status"

_PHRASES: Final = {status.value: f" ({status.phrase})" for status in HTTPStatus}
_READABLE: Final = (b"text/plain", b"application/json", b"application/problem+json")


def describe_answer(http_status: str) -> str:
    """Describe an HTTP status that was received instead of gRPC."""
    code = int(http_status)
    if not 100 <= code <= 599:
        return f"{HOP} answered the invalid HTTP status {http_status} instead of gRPC"
    return f"{HOP} answered HTTP {code}{_PHRASES.get(code, '')} instead of gRPC"


def excerpt(text: str) -> str:
    """The beginning of a non-gRPC body, as a suffix to a message; empty if the body has no words."""
    words = " ".join(text.split())
    return f": {printable(words)}" if words else ""


def is_readable(received: FieldList) -> bool:
    """Whether the body of this response is text that is worth quoting: plain, and not repeated in the head."""
    if b"grpc-message" in received.own:
        return False
    media_type = received.own.get(b"content-type", b"").partition(b";")[0].strip(b" \t").lower()
    return media_type in _READABLE and all(name != b"content-encoding" for name, _ in received.custom)
