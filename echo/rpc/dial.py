"""Opens a byte stream to one address, over TCP or a Unix socket, plain or with TLS, or says why it cannot."""

import os
import ssl
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import ByteStream

from echo.transport import TlsContext, connect_tls, context_for_connection

Dial = Callable[[], Awaitable[ByteStream]]
"""Opens a stream to a server. Raises OSError if it cannot connect."""


async def dial_tcp(host: str, port: int, tls: TlsContext | None, name: str) -> ByteStream:
    """Connect to an address. With TLS, the server's certificate must be for ``name``.

    Raises:
        OSError: It cannot connect.
    """
    return await _secure(await anyio.connect_tcp(host, port), tls, name)


async def dial_unix(path: str, tls: TlsContext | None, name: str) -> ByteStream:
    """Connect to a Unix socket, like `dial_tcp` to an address.

    Raises:
        OSError: It cannot connect.
    """
    return await _secure(await anyio.connect_unix(path), tls, name)


async def _secure(stream: ByteStream, tls: TlsContext | None, name: str) -> ByteStream:
    if tls is None:
        return stream
    try:
        return await connect_tls(stream, context_for_connection(tls), name)
    except BaseException as error:
        await anyio.aclose_forcefully(stream)
        if isinstance(error, OSError):
            raise OSError(f"TLS handshake failed: {error}") from error.__cause__
        raise


def reason(error: OSError) -> str:
    """The system's text for the error. Where anyio says "All connection attempts failed", the cause has the number."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):  # An SSLError's number is OpenSSL's.
        error = cause
    if error.errno is not None and error.errno > 0:  # Name look-ups have negative numbers, and texts of their own.
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
