"""The reply to an HTTP/1 request on a gRPC port: why it cannot be served. Nothing else here uses HTTP/1."""

import re
from typing import Final

from echo.wire.status import encode_status_message

MAX_LINE: Final = 8_192  # The longest request line, in bytes.
MAX_SHOWN: Final = 80

_METHOD: Final = rb"[A-Z]{3,20}"
_BEGUN: Final = re.compile(rb"[A-Z]{1,20}(?: [^\r\n]{0,%d}\r?)?\Z" % MAX_LINE)
_LINE: Final = re.compile(rb"(%b) ([^ \r\n]{1,%d}) HTTP/(1\.[0-9])\r?\n" % (_METHOD, MAX_LINE))
_REASONS: Final = {400: "Bad Request", 505: "HTTP Version Not Supported"}


class Http1Request:
    """The first line of a request (RFC 9112 §3).

    Attributes:
        method: The request's method.
        version: ``HTTP/1.0`` or ``HTTP/1.1``, as requested.
        line: Method and path for messages: short, printable and without the query, which may hold secrets.
    """

    def __init__(self, method: bytes, target: bytes, version: bytes) -> None:
        self.method = method.decode()
        self.version = f"HTTP/{version.decode()}"
        path = target.partition(b"?")[0].decode("latin-1")
        self.line = repr(f"{self.method} {path}"[:MAX_SHOWN])


def answer_http1(method: str, status: int, text: str) -> bytes:
    """A response that gives the reason in a line of plain text and closes the connection (RFC 9112 §4).

    ``grpc-message`` repeats the reason: a proxy forwards it to a gRPC client, which does not wait for a body.
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
    """Read the request that begins with these bytes; None if it is not HTTP/1 or its first line is incomplete."""
    found = _LINE.match(data)
    return None if found is None else Http1Request(found[1], found[2], found[3])


def may_be_http1(data: bytes) -> bool:
    """Whether these bytes may begin a request line, so that more are needed to tell."""
    return _BEGUN.match(data) is not None
