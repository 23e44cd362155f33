"""TLS: its settings and the contexts made from them, for the gRPC server, the gateway that calls it, and its clients.

All speak HTTP/2 by ALPN (RFC 9113 §3.2) over TLS 1.2 or later with the ciphers that RFC 9113 §9.2 leaves. The server is
verified unless a setting turns that off explicitly; clients are verified if the settings name authorities for them
(mTLS). Files are read when a context is made, so that a wrong one is reported before anything listens. `echo.tls_files`
has another context made when they have changed.
"""

import ssl
from pathlib import Path

from echo.configuration import GATEWAY, SERVER, Group, SettingsError, Title, optional, setting
from echo.configuration.addresses import FILE, HOST
from echo.configuration.values import SWITCH

__all__ = ["Tls", "client_context", "server_context", "web_context"]

# What RFC 9113 §9.2.2 allows for TLS 1.2: ephemeral keys and authenticated encryption. TLS 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Tls(Group):
    """Certificates and keys, and what they are used for."""

    tls = Title("TLS")

    grpc_server_cert = optional(FILE, SERVER, "the gRPC server's certificate chain (PEM); turns on TLS")
    grpc_server_key = optional(FILE, SERVER, "private key for the gRPC server's certificate (PEM)")
    grpc_server_client_ca = optional(
        FILE, SERVER, "CAs (PEM) that clients' certificates must be signed by; turns on mTLS"
    )
    http_cert = optional(FILE, GATEWAY, "the gateway's certificate chain (PEM); turns on https and wss")
    http_key = optional(FILE, GATEWAY, "private key for the gateway's certificate (PEM)")
    grpc_server_tls = setting(False, SWITCH, GATEWAY, "call the gRPC server over TLS")
    grpc_client_ca = optional(FILE, GATEWAY, "CAs (PEM) to verify the gRPC server with; by default the system's")
    grpc_client_cert = optional(
        FILE, GATEWAY, "certificate chain (PEM) the gateway presents to the gRPC server, for mTLS"
    )
    grpc_client_key = optional(FILE, GATEWAY, "private key for that certificate (PEM)")
    grpc_client_server_name = optional(
        HOST, GATEWAY, "name the gRPC server's certificate must have; by default the authority or the host called"
    )
    grpc_client_insecure = setting(False, SWITCH, GATEWAY, "call over TLS without verifying the server's certificate")

    @property
    def names_files(self) -> bool:
        """Whether files are needed that may be renewed while the program runs."""
        return any((self.grpc_server_cert, self.http_cert, self.grpc_client_ca, self.grpc_client_cert))

    def check(self) -> None:
        """Refuse settings that would be ignored because TLS is off, and keys without certificates."""
        for end in ("grpc_server", "grpc_client", "http"):
            self.require(f"{end}_cert", f"{end}_key")
            self.require(f"{end}_key", f"{end}_cert")
        self.require("grpc_server_client_ca", "grpc_server_cert")
        for field in ("grpc_client_ca", "grpc_client_cert", "grpc_client_server_name", "grpc_client_insecure"):
            if getattr(self, field) and not self.grpc_server_tls:
                raise self.refusal(field, f"only applies when {self.name_of('grpc_server_tls')} is true")
        if self.grpc_client_insecure and self.grpc_client_ca:
            ca = self.name_of("grpc_client_ca")
            raise self.refusal("grpc_client_insecure", f"contradicts {ca}: set one or the other")


def server_context(settings: Tls) -> ssl.SSLContext | None:
    """The TLS context to listen with, or None when the server speaks plain text.

    TLS is on when ``grpc_server_cert`` is set; clients must show a certificate when ``grpc_server_client_ca``
    is.

    Raises:
        SettingsError: A file can't be read or holds no certificate or key; one line with setting and file.
    """
    if settings.grpc_server_cert is None:
        return None
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    _load_certificate(context, settings, "grpc_server_cert", "grpc_server_key")
    if settings.grpc_server_client_ca is not None:
        _load_authorities(context, settings, "grpc_server_client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(settings: Tls) -> ssl.SSLContext | None:
    """The TLS context to call the gRPC server with, or None when it is called in plain text.

    The server's certificate and name are verified against ``grpc_client_ca``, or against the system's authorities if
    that is not set. Only ``grpc_client_insecure`` turns this off. With ``grpc_client_cert``, the client presents a
    certificate of its own. ``grpc_client_server_name`` is not used here, but when connecting (``server_hostname``).

    Raises:
        SettingsError: A file can't be read or holds no certificate or key; one line with setting and file.
    """
    if not settings.grpc_server_tls:
        return None
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    if settings.grpc_client_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.grpc_client_ca is not None:
        _load_authorities(context, settings, "grpc_client_ca")
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings.grpc_client_cert is not None:
        _load_certificate(context, settings, "grpc_client_cert", "grpc_client_key")
    return context


def web_context(settings: Tls) -> ssl.SSLContext | None:
    """The TLS context of the gateway for https and wss, or None when it speaks plain text.

    TLS is on when ``http_cert`` is set. Clients that do not speak HTTP/2 get HTTP/1.1.

    Raises:
        SettingsError: A file can't be read or holds no certificate or key; one line with setting and file.
    """
    if settings.http_cert is None:
        return None
    context = _context(ssl.PROTOCOL_TLS_SERVER, "http/1.1")
    _load_certificate(context, settings, "http_cert", "http_key")
    return context


def _context(protocol: int, *besides: str) -> ssl.SSLContext:
    """A context for HTTP/2, and for other protocols with peers that do not offer HTTP/2."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION  # RFC 9113 §9.2.1.
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["h2", *besides])
    return context


def _load_authorities(context: ssl.SSLContext, settings: Tls, field: str) -> None:
    path = _readable(settings, field)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise _unusable(settings, field, "holds no certificate in PEM form") from None


def _load_certificate(context: ssl.SSLContext, settings: Tls, cert_field: str, key_field: str) -> None:
    """Load a chain and its key. OpenSSL does not say which file is wrong, so each is tried alone."""
    cert, key = _readable(settings, cert_field), _readable(settings, key_field)
    _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), settings, cert_field)
    try:
        # An empty passphrase keeps OpenSSL from asking for one on the terminal when the key is encrypted.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        content = key.read_text(errors="replace")
        if error.reason == "KEY_VALUES_MISMATCH":
            fault = f"is not the key of the certificate in {str(cert)!r}"
        elif "PRIVATE KEY-" not in content:
            fault = "holds no private key in PEM form"
        elif "ENCRYPTED" in content:
            fault = "is encrypted; a key without a passphrase is needed"
        else:
            fault = f"cannot be used with {str(cert)!r}: {error.reason or 'unknown reason'}"
        raise _unusable(settings, key_field, fault) from None


def _readable(settings: Tls, field: str) -> Path:
    """The path in a setting, once its file has been opened for reading."""
    path = getattr(settings, field)
    assert isinstance(path, Path)
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unusable(settings, field, f"cannot be read: {error.strerror}") from None
    return path


def _unusable(settings: Tls, field: str, fault: str) -> SettingsError:
    return settings.refusal(field, f"{str(getattr(settings, field))!r} {fault}")
