"""What reached a client instead of gRPC, in words for people.

A client cannot tell the server from a proxy before it, so that its messages blame neither.
"""

from http import HTTPStatus
from typing import Final

from echo.printable import printable
from echo.wire.fields import FieldList

HOP: Final = "the server or a proxy on the way"  # Who may have done it.
NO_STATUS: Final = f"{HOP} ended the call without a gRPC status"

_PHRASES: Final = {status.value: f" ({status.phrase})" for status in HTTPStatus}
_READABLE: Final = (b"text/plain", b"application/json", b"application/problem+json")


def answer_in_words(http_status: str) -> str:
    """What came where gRPC was expected, for people."""
    code = int(http_status)
    if not 100 <= code <= 599:
        return f"{HOP} answered the invalid HTTP status {http_status} instead of gRPC"
    return f"{HOP} answered HTTP {code}{_PHRASES.get(code, '')} instead of gRPC"


def excerpt(text: str) -> str:
    """The beginning of what came instead of gRPC, to be added to a message; nothing if there are no words in it."""
    words = " ".join(text.split())
    return f": {printable(words)}" if words else ""


def is_readable(received: FieldList) -> bool:
    """Whether the body behind this head of a response is plain text, and says more than the head."""
    if b"grpc-message" in received.own:
        return False
    media_type = received.own.get(b"content-type", b"").partition(b";")[0].strip(b" \t").lower()
    return media_type in _READABLE and all(name != b"content-encoding" for name, _ in received.custom)
