"""Certificates, keys and authorities that are renewed while a program runs: new connections get the new ones.

cert-manager, SPIFFE's agents and certbot replace the files every few hours to months. So the files are read every
`INTERVAL` seconds, which also works with Kubernetes' symbolic links and on network file systems. They are compared by
content: times are too coarse for two changes in quick succession, and change without the content.

A context is never modified. Connections keep the one that they began with, and the next ones get another, as OpenSSL
can add authorities to a context but not remove any. Files that cannot be used, for instance a certificate whose key has
not been written yet, leave the context as it was.

The event loop waits for the reading. That is some kilobytes, and a thread might not be had when it is needed. A look at
a certificate and its key took an idle server 18 system calls and 0.4 ms of CPU time; that a deadline is pending costs
calls nothing that could be measured.
"""

import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

import trio

from echo.configuration import SettingsError
from echo.expiry import expiry
from echo.tls import Tls, client_context, server_context, web_context
from echo.transport import open_background

__all__ = ["INTERVAL", "TlsFiles", "client_files", "following", "server_files", "web_files"]

log = logging.getLogger(__name__)

INTERVAL: Final = 10.0  # Seconds between two looks at the files.


def server_files(settings: Tls) -> "TlsFiles | None":
    """The TLS of the gRPC server, or None when it speaks plain text; raises what `server_context` does."""
    fields = ["grpc_server_cert", "grpc_server_key", "grpc_server_client_ca"]
    return _named(settings, server_context, *fields) if settings.grpc_server_cert else None


def client_files(settings: Tls) -> "TlsFiles | None":
    """The TLS of calls to the gRPC server, or None for calls in plain text; raises what `client_context` does."""
    fields = ["grpc_client_cert", "grpc_client_key", "grpc_client_ca"]
    return _named(settings, client_context, *fields) if settings.grpc_server_tls else None


def web_files(settings: Tls) -> "TlsFiles | None":
    """The TLS of the gateway, or None when it speaks plain text; raises what `web_context` does."""
    return _named(settings, web_context, "http_cert", "http_key") if settings.http_cert else None


def _named(settings: Tls, make: Callable[[Tls], ssl.SSLContext | None], certificate: str, *others: str) -> "TlsFiles":
    """The files that these settings name; none of them need be given."""
    files = {settings.name_of(field): path for field in (certificate, *others) if (path := getattr(settings, field))}
    return TlsFiles(partial(make, settings), files, certificate.upper(), getattr(settings, certificate))


class TlsFiles:
    """A context and the files that it is made of. An instance is a function that returns the context in use.

    Args:
        make: Makes the context.
        files: The files, by the names of their settings.
        certificate: The variable that names our certificate.
        path: The file that has it; None if we have none.

    Attributes:
        paths: The files.
        certificate: As given.
        expires: When our certificate expires, in seconds since 1970; None if there is none, or if it cannot be told.

    Raises:
        SettingsError: A file can't be read or holds no certificate or key; one line with setting and file.
    """

    def __init__(
        self, make: Callable[[], ssl.SSLContext | None], files: Mapping[str, Path], certificate: str, path: Path | None
    ) -> None:
        self.certificate = certificate
        self.expires: float | None = None
        self._make = make
        self._path = path
        self.paths = list(files.values())
        self._names = ", ".join(files)
        self._seen = self._contents()  # Before the context is made, so that a change in between is found.
        self._context = self._load()

    def __call__(self) -> ssl.SSLContext:
        """The context for a new connection."""
        return self._context

    def reload(self) -> None:
        """Replace the context if the files have changed. If they cannot be used, keep it, and say so once."""
        seen = self._contents()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._context = self._load()
        except (SettingsError, OSError) as error:  # OSError: a file has gone since it was last opened.
            log.error("TLS files cannot be reloaded, new connections get the previous ones: %s", error)
        else:
            log.info("TLS files are reloaded for new connections: %s%s", self._names, self._expiry_text())

    def _load(self) -> ssl.SSLContext:
        context = self._make()
        assert context is not None
        if self._path is not None:
            with suppress(OSError):
                self.expires = expiry(self._path.read_bytes())
        if self.expires is not None and self.expires <= time.time():
            log.warning("%s: the certificate has expired%s", self._names, self._expiry_text())
        return context

    def _expiry_text(self) -> str:
        return "" if self.expires is None else f" (valid until {datetime.fromtimestamp(self.expires, UTC):%F %T} UTC)"

    def _contents(self) -> list[bytes | str]:
        """What tells whether the files have changed, without keeping the key."""
        return [_content(path) for path in self.paths]


def _content(path: Path) -> bytes | str:
    try:
        return sha256(path.read_bytes()).digest()
    except OSError as error:
        return str(error)


@asynccontextmanager
async def following(
    *files: TlsFiles | None, hangup: Callable[[], Awaitable[None]] = trio.sleep_forever
) -> AsyncIterator[None]:
    """Look at the files while the block runs: every `INTERVAL` seconds, and whenever ``hangup()`` returns."""
    async with open_background() as tasks:
        for each in files:
            if each is not None and each.paths:
                tasks.start_soon(_follow, each, hangup)
        yield
        tasks.cancel_scope.cancel()


async def _follow(files: TlsFiles, hangup: Callable[[], Awaitable[None]]) -> None:
    while True:
        with trio.move_on_after(INTERVAL):
            await hangup()
        files.reload()
