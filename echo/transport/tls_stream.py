"""An established TLS connection as a byte stream, over the standard library's ``ssl.SSLObject`` and its two buffers.

OpenSSL does no I/O here: it decrypts what is put into one buffer and leaves what is to be sent in the other
(``ssl.MemoryBIO``). `echo.transport.handshake` establishes the connection.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute

REQUESTED_NAME: Final[Any] = object()
"""The extra attribute for the name that a client asked for (SNI)."""


class TLSByteStream(ByteStream):
    """Encrypts what is sent and decrypts what is received. One task may receive while another sends.

    The stream ends where the transport does, with or without ``close_notify``, and `aclose` sends none: HTTP/2 detects
    truncation by itself.

    Args:
        transport: Carries the TLS records; closed with the stream.
        tls: The connection, its handshake completed.
        incoming: The buffer it reads records from.
        outgoing: The buffer it writes records to.

    Attributes:
        requested_name: The name that a client asked for; empty if it named none, and on the client's side.
        transport: Carries the TLS records.
        send_records: Sends them; by default the transport's ``send``.
    """

    def __init__(
        self, transport: ByteStream, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self.transport = transport
        self.send_records: Callable[[bytes], Awaitable[None]] = transport.send
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._sending = anyio.Lock(fast_acquire=True)
        self.requested_name = ""
        self._torn = False  # A record was lost: the peer could decrypt nothing sent after it.

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        """Receive at least one byte.

        Raises:
            ssl.SSLError: The peer sent an alert, or an invalid record.
            anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError: As for any stream.
        """
        while True:
            try:
                data = self._tls.read(max_bytes)
            except ssl.SSLWantReadError:
                await self._reply()
                self._incoming.write(await self.transport.receive())
            except ssl.SSLError:
                with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await self._reply()
                raise
            else:
                if not data:  # close_notify
                    raise anyio.EndOfStream
                return data

    async def send(self, item: bytes) -> None:
        """Send all of ``item``. If it is cancelled, nothing more can be sent.

        Raises:
            ssl.SSLError: The connection has already failed.
            anyio.BrokenResourceError, anyio.ClosedResourceError: As for any stream.
        """
        async with self._sending:
            if self._torn:
                raise anyio.BrokenResourceError
            self._tls.write(item)
            await self._flush()

    async def send_eof(self) -> None:
        """Not supported: HTTP/2 does not half-close connections."""
        raise NotImplementedError("a TLS stream cannot be half-closed")

    async def aclose(self) -> None:
        """Close the transport."""
        await self.transport.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the transport, and ``anyio.streams.tls.TLSAttribute``."""
        tls = self._tls
        return {
            **self.transport.extra_attributes,
            REQUESTED_NAME: lambda: self.requested_name,
            TLSAttribute.alpn_protocol: tls.selected_alpn_protocol,
            TLSAttribute.channel_binding_tls_unique: tls.get_channel_binding,
            TLSAttribute.cipher: tls.cipher,
            TLSAttribute.peer_certificate: tls.getpeercert,
            TLSAttribute.peer_certificate_binary: lambda: tls.getpeercert(True),
            TLSAttribute.server_side: lambda: tls.server_side,
            TLSAttribute.shared_ciphers: lambda: tls.shared_ciphers() if tls.server_side else None,
            TLSAttribute.ssl_object: lambda: tls,
            TLSAttribute.standard_compatible: lambda: False,
            TLSAttribute.tls_version: tls.version,
        }

    async def _reply(self) -> None:
        """Send OpenSSL's reply to what it read: an alert, or a KeyUpdate (RFC 8446 §4.6.3)."""
        if self._outgoing.pending and not self._torn:
            try:
                self._sending.acquire_nowait()
            except anyio.WouldBlock:
                return  # The task that is sending will send this too.
            try:
                await self._flush()
            finally:
                self._sending.release()

    async def _flush(self) -> None:
        while self._outgoing.pending:
            try:
                await self.send_records(self._outgoing.read())
            except BaseException:
                self._torn = True
                raise
