"""Recognises a peer that does not speak HTTP/2 by its first bytes, and says so in a readable message.

The commonest mistake in a deployment is the wrong protocol on a port, or a proxy that does not forward HTTP/2; "a frame
of 4740180 bytes" helps nobody. HTTP/1 clients get an answer in HTTP/1.
"""

import re
from typing import Final

from echo.wire.errors import ForeignProtocolError
from echo.wire.frames import HEADER_SIZE, PREFACE, SETTINGS
from echo.wire.status import encode_status_message

MAX_LINE: Final = 8_192  # The longest request line, in bytes.
MAX_SHOWN: Final = 80

_TLS: Final = (b"\x15\x03", b"\x16\x03")  # An alert or a handshake (RFC 8446 §5.1).
_MAY_BE_TLS: Final = (b"\x15", b"\x16")  # The first byte of either.
_REQUEST_LINE: Final = re.compile(rb"([A-Z]{3,20}) ([^ \r\n]{1,%d}) HTTP/(1\.[0-9])\r?\n" % MAX_LINE)  # RFC 9112 §3
_MAY_BE_REQUEST_LINE: Final = re.compile(rb"[A-Z]{1,20}(?: [^\r\n]{0,%d}\r?)?\Z" % MAX_LINE)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[0-9] [^\r\n]*")
_REASONS: Final = {400: "Bad Request", 505: "HTTP Version Not Supported"}
_ADVICE: Final = "A proxy in front of it has to forward HTTP/2 (nginx: grpc_pass instead of proxy_pass)."


def check_client(data: bytes) -> None:
    """Check a client's first bytes.

    Raises:
        ForeignProtocolError: They are not HTTP/2.
    """
    if PREFACE.startswith(data[: len(PREFACE)]):
        return
    if data.startswith(_TLS):
        raise ForeignProtocolError("the client speaks TLS, this port speaks plain text")
    request = _REQUEST_LINE.match(data)
    if request is not None:
        method, target, version = (part.decode("latin-1") for part in request.groups())
        # Short, printable, and without the query, which may hold secrets.
        shown = repr(f"{method} {target.partition('?')[0]}"[:MAX_SHOWN])
        answer = f"This port speaks gRPC (HTTP/2); the request arrived as HTTP/{version}. {_ADVICE}"
        raise ForeignProtocolError(
            f"the request {shown} arrived as HTTP/{version}, this port speaks gRPC (HTTP/2)",
            answer_http1(method, 505, answer),
        )
    if not _MAY_BE_REQUEST_LINE.match(data) and data not in _MAY_BE_TLS:
        raise ForeignProtocolError(f"the client does not speak HTTP/2: it began with {data[:24]!r}")


def check_server(data: bytes) -> None:
    """Check the first bytes of a server, or of whatever is at the other end.

    Raises:
        ForeignProtocolError: They are not HTTP/2.
    """
    line = _STATUS_LINE.match(data)
    if line is not None:
        shown = repr(line[0][:MAX_SHOWN].decode("latin-1"))
        raise ForeignProtocolError(f"it answered in HTTP/1 ({shown}), where HTTP/2 was expected")
    if data.startswith(_TLS):
        raise ForeignProtocolError("it speaks TLS but was called in plain text")
    # RFC 9113 §3.4: the first frame is SETTINGS without ACK; its length is at most 16 KiB, in three bytes.
    if len(data) >= HEADER_SIZE and (data[3] != SETTINGS or data[4] & 1 or data[0]):
        raise ForeignProtocolError(f"it does not speak HTTP/2: it began with {data[:24]!r}")


def answer_http1(method: str, status: int, text: str) -> bytes:
    """A response in HTTP/1 that gives the reason in a line of plain text and closes the connection (RFC 9112 §4).

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
