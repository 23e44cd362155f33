"""Fresh connections to a target, with TLS or without, and a readable error saying why it could not connect."""

import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import anyio
import trio
from anyio.abc import ByteStream

from echo.alerts import alert_in_words
from echo.probe.target import Target, TlsFactory
from echo.transport import connect_tls

CONNECT_TIMEOUT: Final = 5.0  # Seconds.
READ_SIZE: Final = 65_536
LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, OSError)


class UnreachableError(Exception):
    """No connection could be made; the text is one line that names the target."""


class Bytes(Protocol):
    """A stream of bytes, as trio has them."""

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive some bytes; empty at the end."""

    async def aclose(self) -> None:
        """Close it."""


@dataclass(frozen=True)
class Line:
    """How to connect to a target.

    Attributes:
        target: Where to.
        tls: Makes TLS contexts.
        server_name: What the certificate must be for, if not the target's host.
    """

    target: Target
    tls: TlsFactory
    server_name: str | None = None

    async def connect(self, alpn: Sequence[str] = ("h2",)) -> "trio.SocketStream | trio.SSLStream[trio.SocketStream]":
        """Connect; the caller closes it.

        Args:
            alpn: The protocols to offer with TLS; the stream knows which one was chosen.

        Raises:
            UnreachableError: No connection could be made.
        """
        target = self.target
        missing = "no connection"
        try:
            with trio.fail_after(CONNECT_TIMEOUT):
                stream = await trio.open_tcp_stream(target.host, target.port)
                if not target.tls:
                    return stream
                missing = "TLS handshake failed: no answer"
                secure = trio.SSLStream(stream, self.tls(alpn), server_hostname=self._name, https_compatible=True)
                try:
                    await secure.do_handshake()
                except BaseException:  # Re-raised; the stream must not stay open.
                    await trio.aclose_forcefully(stream)
                    raise
                return secure
        except trio.TooSlowError:
            raise UnreachableError(f"cannot reach {target}: {missing} within {CONNECT_TIMEOUT:g} s") from None
        except trio.BrokenResourceError as error:
            why = _tls_reason(error.__cause__) or "the connection was closed"
            raise UnreachableError(f"cannot reach {target}: TLS handshake failed: {why}") from error
        except OSError as error:
            raise UnreachableError(f"cannot reach {target}: {_reason(error)}") from error
        except UnicodeError as error:  # IDNA 2008 refuses some names that Python's codec takes.
            raise UnreachableError(f"cannot reach {target}: no host has such a name ({error})") from error

    @property
    def _name(self) -> str:
        """The name that the certificate must be for."""
        return self.server_name or self.target.name or self.target.host

    async def dial(self) -> ByteStream:
        """Connect; the ``dial`` of `echo.rpc.open_channel_over`.

        Raises:
            OSError: No connection could be made.
        """
        target = self.target
        stream = await anyio.connect_tcp(target.host, target.port)
        if not target.tls:
            return stream
        try:
            return await connect_tls(stream, self.tls(["h2"]), self._name)
        except BaseException:  # Re-raised; the stream must not stay open.
            await anyio.aclose_forcefully(stream)
            raise


async def speaks_tls(target: Target) -> bool:
    """Whether the port of a target that was called in plain text completes a TLS handshake, with any certificate."""
    try:
        stream = await Line(replace(target, tls=True), _unverified).connect()
    except UnreachableError:
        return False
    await trio.aclose_forcefully(stream)
    return True


def _unverified(alpn: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    return context


def _tls_reason(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if words := alert_in_words(error, "the other side"):
        return words
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return _reason(error)
    return str(error or "")


def _reason(error: OSError) -> str:
    """The system's own message; trio's "all attempts to connect failed" has it in its cause."""
    cause = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    found = cause if isinstance(cause, OSError) else error
    if found.errno is not None and found.errno > 0:  # Failed name look-ups have negative numbers and their own texts.
        return os.strerror(found.errno)
    return found.strerror or str(found)
