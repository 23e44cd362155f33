"""TLS contexts from the settings: one for the gRPC server, one for the gateway that calls it, one for its own clients.

All speak HTTP/2 by ALPN (RFC 9113 §3.2) over TLS 1.2 or later with the ciphers that RFC 9113 §9.2 leaves.
Peers are verified: the server always, unless the settings ask in so many words not to; clients when the
settings name authorities for them (mTLS). Files are read here and now, so that a wrong one is told before
anything listens.
"""

import ssl
from pathlib import Path

from echo.settings import Settings, SettingsError

__all__ = ["client_context", "server_context", "web_context"]

# What RFC 9113 §9.2.2 allows for TLS 1.2: ephemeral keys and authenticated encryption. TLS 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(settings: Settings) -> ssl.SSLContext | None:
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


def client_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context to call the gRPC server with, or None when it is called in plain text.

    The server's certificate and name are verified by ``grpc_client_ca``, or the system's authorities if that
    is not set; they go unverified only when ``grpc_client_insecure`` says so. With ``grpc_client_cert`` the
    caller shows its own. ``grpc_client_server_name`` is for whoever connects (``server_hostname``).

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


def web_context(settings: Settings) -> ssl.SSLContext | None:
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
    """A context for HTTP/2, and for other protocols besides if the peer prefers none of that."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION  # RFC 9113 §9.2.1.
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["h2", *besides])
    return context


def _load_authorities(context: ssl.SSLContext, settings: Settings, field: str) -> None:
    path = _readable(settings, field)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise _unusable(settings, field, "holds no certificate in PEM form") from None


def _load_certificate(context: ssl.SSLContext, settings: Settings, cert_field: str, key_field: str) -> None:
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


def _readable(settings: Settings, field: str) -> Path:
    """The path in a setting, once its file has been opened for reading."""
    path = getattr(settings, field)
    assert isinstance(path, Path)
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unusable(settings, field, f"cannot be read: {error.strerror}") from None
    return path


def _unusable(settings: Settings, field: str, fault: str) -> SettingsError:
    return SettingsError(f"{settings.name_of(field)}: {str(getattr(settings, field))!r} {fault}")
