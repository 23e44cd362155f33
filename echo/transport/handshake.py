"""The server's end of a TLS handshake, which tells a client that it refuses why: by an alert that arrives."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar, TypeVarTuple

import anyio
from anyio.abc import SocketStream
from anyio.streams.tls import TLSStream

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LINGER: Final = 1.0  # Seconds a client that was refused has to read why.


class _AlertingStream(TLSStream):
    """A `TLSStream` whose failing handshake sends what OpenSSL has to say of the failure; anyio's keeps that back."""

    async def _call_sslobject_method(self, func: Callable[[*Ts], T], *args: *Ts) -> T:
        try:
            return await super()._call_sslobject_method(func, *args)
        except ssl.SSLError:
            # Not later on: then another task may be sending.
            if func == self._ssl_object.do_handshake:
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await self._flush_write_bio()
            raise


async def accept_tls(stream: SocketStream, context: ssl.SSLContext) -> TLSStream:
    """Shake hands with a client. The stream is closed by whoever closes the result, or by the caller if it fails.

    Raises:
        ssl.SSLError: It failed, and the client has been told why.
        anyio.BrokenResourceError, anyio.EndOfStream: The client went away.
    """
    try:
        return await _AlertingStream.wrap(stream, server_side=True, ssl_context=context, standard_compatible=False)
    except ssl.SSLError:
        # With TLS 1.3 a client whose certificate is refused has done its part, and has gone on to speak. If the socket
        # were closed upon what it says, TCP would reset the connection, and the alert might be lost with it.
        with anyio.move_on_after(LINGER), suppress(anyio.BrokenResourceError, anyio.EndOfStream, OSError):
            await stream.send_eof()
            while True:
                await stream.receive()
        raise
