"""TLS to a collector: the files that OpenTelemetry's variables name. An unusable one is reported with its variable."""

import ssl
from functools import partial
from pathlib import Path

from echo.configuration import SettingsError
from echo.telemetry.tracing.environment import CollectorSettings, Named
from echo.tls_files import TlsFiles

__all__ = ["files_for"]


def files_for(settings: CollectorSettings) -> TlsFiles:
    """The TLS of connections to this collector. Its certificate and its name are verified.

    Raises:
        SettingsError: A file cannot be read, or does not hold what it should.
    """
    own = settings.client_certificate
    given = [file for file in (own, settings.client_key, settings.certificate) if file is not None]
    files = {file.variable: Path(file.value) for file in given}
    variable, path = ("", None) if own is None else (own.variable, Path(own.value))
    return TlsFiles(partial(_context, settings), files, variable, path)


def _context(settings: CollectorSettings) -> ssl.SSLContext:
    authorities, certificate = settings.certificate, settings.client_certificate
    context = ssl.create_default_context() if authorities is None else _trusting(authorities)
    if certificate is not None:
        key = settings.client_key or certificate
        _trusting(certificate)  # OpenSSL does not say which of two files is wrong, so this one is tried alone.
        content = _content(key)
        try:
            # An empty passphrase keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(certificate.value, key.value, password="")
        except (OSError, ValueError) as error:
            if "ENCRYPTED" in content:
                raise _unusable(key, "is encrypted; a key without a passphrase is needed") from None
            if "PRIVATE KEY-" not in content:
                raise _unusable(key, "holds no private key in PEM form") from None
            raise _unusable(key, f"cannot be used with {certificate.value!r}: {_reason(error)}") from None
    return context


def _trusting(authorities: Named) -> ssl.SSLContext:
    _content(authorities)
    try:
        return ssl.create_default_context(cafile=authorities.value)
    except (OSError, ValueError):
        raise _unusable(authorities, "holds no certificate in PEM form") from None


def _content(file: Named) -> str:
    try:
        return Path(file.value).read_text(errors="replace")
    except (OSError, ValueError) as error:  # ValueError: the path holds a null character.
        raise _unusable(file, f"cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    found = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    return found or str(error)


def _unusable(file: Named, fault: str) -> SettingsError:
    return SettingsError(f"{file.variable}: {file.value!r} {fault}")
