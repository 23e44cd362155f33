"""The wrong protocol on the gateway's port: the log says so, and the client hears it where it can.

Upstream: HTTP in plain text to a port with TLS is a connection that closes, and TLS to a port without is answered 400
in plain text; neither leaves a word in the log, and both look like a broken server.
"""

import logging
import ssl
from contextlib import suppress
from typing import Final

import trio

log = logging.getLogger(__name__)

TEXT: Final = b"This port speaks TLS: use https:// or wss://\n"
ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(TEXT), TEXT)
)
ALERT: Final = b"\x15\x03\x01\x00\x02\x02\x46"  # Fatal, protocol_version (RFC 8446 §6): what a server without TLS is.


async def explain_failure(error: trio.BrokenResourceError, below: trio.SocketStream) -> None:
    """Say why a TLS handshake failed, to the log, and to a client that has asked in plain text.

    Args:
        error: What the handshake raised.
        below: The stream that TLS was to be spoken on.
    """
    cause = error.__cause__
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    if reason == "HTTP_REQUEST":
        log.info("HTTP in plain text was spoken to the port with TLS: https:// and wss:// are served here")
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(1):
            await below.send_all(ANSWER)
            await below.send_eof()
    else:
        log.info("a TLS handshake failed: %s", reason or "the client closed the connection")


def is_client_hello(data: bytes) -> bool:
    """Whether these first bytes of a connection are TLS: a record of a handshake, of any version (RFC 8446 §5.1)."""
    return data[:2] == b"\x16\x03"


async def refuse_tls(stream: trio.SocketStream) -> None:
    """Say that there is no TLS here, to the log and, by an alert, to the client."""
    log.info("TLS was spoken to the port without: http:// and ws:// are served here (HTTP_CERT turns TLS on)")
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(1):
        await stream.send_all(ALERT)
        await stream.send_eof()
