"""A blocking connection to a server, with a deadline for all sending and receiving."""

import socket
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Self

from echo.alerts import alert_in_words
from echo.health.connecting import connect, left_until
from echo.targets import Target

if TYPE_CHECKING:
    import ssl

__all__ = ["CallFailedError", "Line", "TlsFiles", "UnreachableError", "UnusableFileError", "dial", "in_words"]

_PIECE = 65_536


class UnreachableError(Exception):
    """Could not connect to the server. Its text says why."""


class CallFailedError(Exception):
    """Connected, but got no valid answer. Its text says why."""


class UnusableFileError(Exception):
    """A certificate or key file can't be used. Its text names the file."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """How to speak TLS. With ``verify``, the server's certificate must be valid for ``server_name`` or its host."""

    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None

    def context(self, alpn: str) -> "ssl.SSLContext":
        """A client's context that offers this protocol (RFC 7301).

        Raises:
            UnusableFileError: A file can't be read, or holds no certificate or key.
        """
        import ssl  # noqa: PLC0415 - Most checks use plain text and take no longer than loading this would.

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([alpn])
        files = self.ca
        try:
            if not self.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            elif self.ca is not None:
                context.load_verify_locations(cafile=self.ca)
            else:
                context.load_default_certs()
            if self.cert is not None:
                files = f"{self.cert}, {self.key}"
                context.load_cert_chain(self.cert, self.key, password="")
        except OSError as error:  # Includes ssl.SSLError.
            reason = "no certificate or key in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
            raise UnusableFileError(f"{files}: {reason}") from None
        return context


def in_words(error: Exception) -> str:
    """What went wrong in connecting, sending or receiving."""
    if words := alert_in_words(error, "the server"):
        return words
    return getattr(error, "strerror", None) or str(error)


class Line:
    """A connection; a context manager that closes it.

    Attributes:
        deadline: When sending and receiving raise `TimeoutError`, by `time.monotonic`.
    """

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self.deadline = deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send all the data."""
        self._socket.settimeout(left_until(self.deadline))
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """Wait for data and return it; empty when the peer has closed."""
        self._socket.settimeout(left_until(self.deadline))
        return self._socket.recv(_PIECE)


def dial(address: Target, timeout: float, tls: TlsFiles | None, alpn: str) -> Line:
    """Connect within ``timeout`` seconds, over TLS if ``tls`` is given. The time of the name's lookup is not bounded.

    Raises:
        UnreachableError: Could not connect.
        UnusableFileError: A TLS file can't be used.
    """
    deadline = monotonic() + timeout
    context = None if tls is None else tls.context(alpn)
    try:
        connected = connect(address, deadline)
    except TimeoutError:
        raise UnreachableError(f"no connection within {timeout:g} s") from None
    except OSError as error:
        raise UnreachableError(in_words(error)) from None
    if context is None or tls is None:
        return Line(connected, deadline)
    try:
        connected.settimeout(left_until(deadline))
        wrapped = context.wrap_socket(connected, server_hostname=tls.server_name or address.name)
    except TimeoutError:
        connected.close()
        raise UnreachableError(f"no TLS handshake within {timeout:g} s") from None
    except (OSError, ValueError) as error:
        connected.close()
        invalid = getattr(error, "verify_message", None)
        raise UnreachableError(f"TLS: {invalid}" if invalid else in_words(error)) from None
    if wrapped.selected_alpn_protocol() not in {alpn, None}:
        wrapped.close()
        raise UnreachableError(f"the server speaks {wrapped.selected_alpn_protocol()} over TLS, not {alpn}")
    return Line(wrapped, deadline)
