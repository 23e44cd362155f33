"""The one thing ever said in HTTP/1: to whoever speaks it on a port of gRPC's, that and why it cannot be served."""

import re
from typing import Final

from echo.wire.status import encode_status_message

MAX_LINE: Final = 8_192  # Bytes of a request line that are waited for.
MAX_SHOWN: Final = 80

_METHOD: Final = rb"[A-Z]{3,20}"
_BEGUN: Final = re.compile(rb"[A-Z]{1,20}(?: [^\r\n]{0,%d}\r?)?\Z" % MAX_LINE)
_LINE: Final = re.compile(rb"(%b) ([^ \r\n]{1,%d}) HTTP/(1\.[0-9])\r?\n" % (_METHOD, MAX_LINE))
_REASONS: Final = {400: "Bad Request", 505: "HTTP Version Not Supported"}


class Http1Request:
    """The first line of a request (RFC 9112 §3).

    Attributes:
        method: Its method.
        version: ``HTTP/1.0`` or ``HTTP/1.1``, as it says.
        line: It as a whole for people: short, printable and without a query, which may hold secrets.
    """

    def __init__(self, method: bytes, target: bytes, version: bytes) -> None:
        self.method = method.decode()
        self.version = f"HTTP/{version.decode()}"
        path = target.partition(b"?")[0].decode("latin-1")
        self.line = repr(f"{self.method} {path}"[:MAX_SHOWN])


def answer_http1(method: str, status: int, text: str) -> bytes:
    """A response that says why, in a line of plain text, and ends the connection (RFC 9112 §4).

    Its head says it too, as ``grpc-message``: a proxy hands that on to a gRPC client, which does not wait for a body.
    """
    body = b"" if method == "HEAD" else text.encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        "content-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\n"
        f"grpc-message: {encode_status_message(text).decode()}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body


def parse_http1(data: bytes) -> Http1Request | None:
    """The request of which these are the first bytes; None if they are none, or its first line is not complete."""
    found = _LINE.match(data)
    return None if found is None else Http1Request(found[1], found[2], found[3])


def may_be_http1(data: bytes) -> bool:
    """Whether these bytes are the beginning of a request's first line, and more is needed to tell."""
    return _BEGUN.match(data) is not None
