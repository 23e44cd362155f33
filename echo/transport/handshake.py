"""TLS handshakes, the server's and the client's. Each ends in a connection or in an error that says what went wrong.

OpenSSL does no I/O here: we send what it writes to one buffer, and put what arrives into the other, until it succeeds
or fails. So we can send its alert when it fails, recognise a peer that does not speak TLS by its first bytes, and check
which protocols a client offers before answering.
"""

import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio
from anyio.abc import ByteStream

from echo.transport.client_hello import HANDSHAKE, read_client_hello
from echo.transport.link import LINGER
from echo.transport.tls_stream import TLSByteStream
from echo.wire import answer_http1

TlsContext = ssl.SSLContext | Callable[[], ssl.SSLContext]
"""A context, or a function that returns one, called for each connection: certificates may change."""

_ALERT: Final = 21  # The record type (RFC 8446 §5.1).
_NO_APPLICATION_PROTOCOL: Final = b"\x15\x03\x03\x00\x02\x02\x78"  # The fatal alert, as a record (RFC 7301 §3.2).
_PROTOCOL_VERSION: Final = b"\x15\x03\x01\x00\x02\x02\x46"  # RFC 8446 §6.2; OpenSSL does not send it by itself.
_HTTP2: Final = b"PRI * HTTP/2.0"
_HTTP1: Final = re.compile(rb"(GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH) |HTTP/1\.")
_PLAIN: Final = "This port speaks gRPC over TLS; the request arrived in plain text."


class RefusedError(OSError):
    """The client was refused and got an alert, which it needs time to read.

    With TLS 1.3, a client whose certificate is refused has already completed its side and may be sending.
    """


def check_context(tls: object) -> None:
    """Raise unless it is an SSL context, a function that may return one, or None for no TLS.

    Raises:
        TypeError: It is something else.
    """
    if tls is not None and not isinstance(tls, ssl.SSLContext) and not callable(tls):
        raise TypeError(f"tls must be an ssl.SSLContext, such as ssl.create_default_context() makes, not {tls!r}")


def context_for_connection(tls: TlsContext) -> ssl.SSLContext:
    """The context for a connection that begins now."""
    return tls if isinstance(tls, ssl.SSLContext) else tls()


async def accept_tls(stream: ByteStream, context: ssl.SSLContext, timeout: float) -> TLSByteStream:
    """Perform the server's side of a handshake.

    Clients that use ALPN must offer h2. Those that do not use it are accepted: some gRPC clients don't, and the HTTP/2
    preface soon shows what they speak. Closing the result closes the stream; if the handshake fails or is cancelled,
    the caller closes it.

    Args:
        stream: The connection to the client.
        context: The server's certificate, and the authorities whose client certificates it accepts.
        timeout: Seconds the handshake may take.

    Raises:
        RefusedError, OSError: The handshake failed. The message, for the log, says what the client did.
    """
    handshake = _Handshake(stream, context, peer="client")
    try:
        with anyio.fail_after(timeout):
            await handshake.receive_hello()
            offered, requested_name = read_client_hello(bytes(handshake.received))
            if not offered or b"h2" in offered:
                secure = await handshake.run()
                secure.requested_name = requested_name
                return secure
    except ssl.SSLError as error:
        await handshake.flush_alert(_answer_in_plain_text(handshake.received))
        raise RefusedError(_describe_other_protocol("client", handshake.received) or str(error)) from error
    except TimeoutError:
        raise OSError(f"it took longer than {timeout:g} s") from None
    except anyio.BrokenResourceError as error:
        raise OSError(f"the connection was lost ({error.__cause__ or 'reset'})") from error
    await handshake.flush_alert(_NO_APPLICATION_PROTOCOL)
    names = ", ".join(repr(name)[2:-1] for name in offered)  # Escaped, as the client may send any bytes.
    raise RefusedError(f"the client does not offer h2 by ALPN, only {names}; gRPC needs HTTP/2")


async def connect_tls(stream: ByteStream, context: ssl.SSLContext, name: str) -> TLSByteStream:
    """Perform the client's side of a handshake. The context decides whether the certificate must be for ``name``.

    Closing the result closes the stream; if the handshake fails or is cancelled, the caller closes it.

    Raises:
        OSError: The handshake failed. The message says what the server did.
    """
    try:
        handshake = _Handshake(stream, context, peer="server", server_hostname=_encoded(name))
    except ValueError as error:  # The name is not a valid host name.
        raise OSError(str(error)) from error
    try:
        return await handshake.run()
    except ssl.SSLError as error:
        await handshake.flush_alert()
        if "no application protocol" in str(error):  # Some versions of OpenSSL do not name this error.
            raise OSError(f"the server accepts none of the protocols offered by ALPN: {error}") from error
        raise OSError(_describe_other_protocol("server", handshake.received) or str(error)) from error
    except anyio.BrokenResourceError as error:
        raise OSError(str(error.__cause__ or "the connection was reset")) from error


class _Handshake:
    """A handshake in progress.

    Attributes:
        received: What the peer has sent; OpenSSL bounds how much a handshake may take.
    """

    def __init__(
        self, stream: ByteStream, context: ssl.SSLContext, *, peer: str, server_hostname: bytes | None = None
    ) -> None:
        self._stream = stream
        self._peer = peer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=peer == "client", server_hostname=server_hostname
        )
        self.received = bytearray()

    async def receive_hello(self) -> None:
        """Receive until OpenSSL has an answer to the ClientHello, but do not send it yet."""
        while not self._step() and not self._outgoing.pending:
            await self._receive()

    async def run(self) -> TLSByteStream:
        """Complete the handshake."""
        while not self._step():
            await self._flush()
            await self._receive()
        await self._flush()
        chosen = self._tls.selected_alpn_protocol()
        if chosen not in (None, "h2"):
            whose = "server's own context" if self._tls.server_side else "server"
            raise OSError(f"the {whose} selected {chosen} by ALPN; gRPC needs h2")
        return TLSByteStream(self._stream, self._tls, self._incoming, self._outgoing)

    async def flush_alert(self, alert: bytes | None = None) -> None:
        """After a failure, send ``alert``, or OpenSSL's own, if the peer still takes it."""
        with anyio.move_on_after(LINGER), suppress(anyio.BrokenResourceError):
            await (self._flush() if alert is None else self._stream.send(alert))

    def _step(self) -> bool:
        """Let OpenSSL process what has arrived; True once the handshake is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    async def _receive(self) -> None:
        try:
            data = await self._stream.receive()
        except anyio.EndOfStream as error:
            raise OSError(f"the {self._peer} closed the connection") from error
        self.received += data
        self._incoming.write(data)

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._stream.send(self._outgoing.read())


def _answer_in_plain_text(received: bytearray) -> bytes | None:
    """An answer for a client that speaks HTTP/1 or HTTP/2 without TLS; None for any other."""
    request = _HTTP1.match(received)
    if request is not None and request[1]:
        return answer_http1(request[1].decode(), 400, _PLAIN)
    # SETTINGS and a GOAWAY could give the reason, but make many clients take the connection for a working one.
    return _PROTOCOL_VERSION if received.startswith(_HTTP2) else None


def _describe_other_protocol(peer: str, received: bytearray) -> str | None:
    """Describe a peer that does not speak TLS; None if it began with a TLS handshake or alert."""
    if not received or received[0] in (HANDSHAKE, _ALERT):
        return None
    # An HTTP/2 server begins with SETTINGS on stream 0 (RFC 9113 §3.4).
    begins_with_settings = received[:2] == b"\0\0" and received[3:4] == b"\4" and received[5:9] == bytes(4)
    if received.startswith(_HTTP2) or begins_with_settings:
        return f"the {peer} does not speak TLS but plain HTTP/2"
    if _HTTP1.match(received):
        return f"the {peer} does not speak TLS but plain HTTP/1.1"
    return f"the {peer} does not speak TLS"


def _encoded(name: str) -> bytes:
    """The name in ASCII, by IDNA 2008. ``ssl`` itself uses the rules of 2003, which may give a different host."""
    try:
        return name.encode("ascii")
    except UnicodeEncodeError:
        import idna  # noqa: PLC0415 - Its tables take long to load, and most names are ASCII.

        return idna.encode(name, uts46=True)
