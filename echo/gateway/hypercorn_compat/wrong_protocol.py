"""Handles the wrong protocol on the gateway's port: logs it, and tells the client where possible.

Upstream: plain HTTP to a TLS port just closes the connection, and TLS to a plaintext port is answered with a plaintext
400. Neither is logged, and both look like a broken server.
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
ALERT: Final = b"\x15\x03\x01\x00\x02\x02\x46"  # Fatal, protocol_version (RFC 8446 §6), the closest alert there is.


async def explain_failure(error: trio.BrokenResourceError, below: trio.SocketStream) -> None:
    """Log why a TLS handshake failed, and answer a client that sent plain HTTP.

    Args:
        error: The handshake's exception.
        below: The stream below TLS.
    """
    cause = error.__cause__
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    if reason == "HTTP_REQUEST":
        log.info("plain HTTP arrived on the TLS port: use https:// or wss://")
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(1):
            await below.send_all(ANSWER)
            await below.send_eof()
    else:
        log.info("a TLS handshake failed: %s", reason or "the client closed the connection")


def is_client_hello(data: bytes) -> bool:
    """Whether a connection's first bytes are a TLS handshake record of any version (RFC 8446 §5.1)."""
    return data[:2] == b"\x16\x03"


async def refuse_tls(stream: trio.SocketStream) -> None:
    """Log that this port has no TLS, and send the client an alert."""
    log.info("TLS arrived on the plaintext port: use http:// or ws:// (HTTP_CERT turns TLS on)")
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(1):
        await stream.send_all(ALERT)
        await stream.send_eof()
