"""Files for TLS to a collector: an unusable one is reported in a line with its variable, and renewed ones are used."""

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from cryptography.hazmat.primitives import serialization

from echo.configuration import SettingsError
from echo.telemetry.tracing.environment import read_environment
from echo.telemetry.tracing.otlp import Collector
from echo.telemetry.tracing.program import describe
from tests.support.collector import Receiver
from tests.support.renewed import mounted_client
from tests.support.serving import LOOPBACK

ALL, TRACES = "OTEL_EXPORTER_OTLP", "OTEL_EXPORTER_OTLP_TRACES"


class Files:
    """A client's certificate and its key, both in one file and each in its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority = trustme.CA()
        leaf = authority.issue_cert("client")
        key = leaf.private_key_pem.bytes()
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        passphrase = serialization.BestAvailableEncryption(b"secret")
        form = serialization.PrivateFormat.PKCS8
        locked = serialization.load_pem_private_key(key, None).private_bytes(
            serialization.Encoding.PEM, form, passphrase
        )
        self.authority = self._write("ca.pem", authority.cert_pem.bytes())
        self.chain = self._write("chain.pem", chain)
        self.key = self._write("key.pem", key)
        self.both = self._write("both.pem", key + chain)
        self.locked = self._write("locked.pem", locked)
        self.other = self._write("other.pem", authority.issue_cert("other").private_key_pem.bytes())
        self.rubbish = self._write("rubbish.pem", b"rubbish\xff")
        self.missing = str(folder / "missing.pem")

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


def connect(variables: dict[str, str], address: str = "collector") -> Collector:
    settings = read_environment({f"{ALL}_ENDPOINT": f"https://{address}"} | variables)
    assert settings is not None
    assert settings.collector is not None
    return Collector(settings.collector, describe())


GOOD: dict[str, Callable[[Files], dict[str, str]]] = {
    "authorities": lambda f: {f"{ALL}_CERTIFICATE": f.authority},
    "certificate and key": lambda f: {f"{ALL}_CLIENT_CERTIFICATE": f.chain, f"{TRACES}_CLIENT_KEY": f.key},
    "both in one file": lambda f: {f"{TRACES}_CLIENT_CERTIFICATE": f.both},
}


@pytest.mark.parametrize("variables", GOOD.values(), ids=GOOD)
def test_usable_files_are_taken(files: Files, variables: Callable[[Files], dict[str, str]]) -> None:
    connect(variables(files))


def client(cert: str, key: str) -> dict[str, str]:
    return {f"{ALL}_CLIENT_CERTIFICATE": cert, f"{TRACES}_CLIENT_KEY": key}


BAD: dict[str, tuple[Callable[[Files], dict[str, str]], str]] = {
    "authorities missing": (
        lambda f: {f"{ALL}_CERTIFICATE": f.missing},
        "OTEL_EXPORTER_OTLP_CERTIFICATE: '{0.missing}' cannot be read: No such file or directory",
    ),
    "authorities of traces missing": (
        lambda f: {f"{ALL}_CERTIFICATE": f.authority, f"{TRACES}_CERTIFICATE": f.missing},
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: '{0.missing}' cannot be read: No such file or directory",
    ),
    "authorities rubbish": (
        lambda f: {f"{TRACES}_CERTIFICATE": f.rubbish},
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: '{0.rubbish}' holds no certificate in PEM form",
    ),
    "certificate missing": (
        lambda f: client(f.missing, f.key),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: '{0.missing}' cannot be read: No such file or directory",
    ),
    "certificate rubbish": (
        lambda f: client(f.rubbish, f.key),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: '{0.rubbish}' holds no certificate in PEM form",
    ),
    "certificate without its key": (
        lambda f: {f"{TRACES}_CLIENT_CERTIFICATE": f.chain},
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE: '{0.chain}' holds no private key in PEM form",
    ),
    "key missing": (
        lambda f: client(f.chain, f.missing),
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: '{0.missing}' cannot be read: No such file or directory",
    ),
    "key encrypted": (
        lambda f: client(f.chain, f.locked),
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: '{0.locked}' is encrypted; a key without a passphrase is needed",
    ),
    "key of another certificate": (
        lambda f: client(f.chain, f.other),
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: '{0.other}' cannot be used with '{0.chain}': KEY_VALUES_MISMATCH",
    ),
}


@pytest.mark.parametrize(("variables", "line"), BAD.values(), ids=BAD)
def test_an_unusable_file_is_reported_with_its_variable(
    files: Files, variables: Callable[[Files], dict[str, str]], line: str
) -> None:
    with pytest.raises(SettingsError) as error:
        connect(variables(files))
    assert str(error.value) == line.format(files)


def context_of(authority: trustme.CA) -> ssl.SSLContext:
    """A collector whose certificate is of this authority, as those of its clients must be."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert(LOOPBACK).configure_cert(context)
    authority.configure_trust(context)
    return context


async def test_the_next_connection_uses_renewed_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    secret = mounted_client(tmp_path / "client", trustme.CA())
    receiver = Receiver()
    receiver.closes = True

    async def serve(stream: trio.SocketStream) -> None:
        await receiver.serve(
            trio.SSLStream(stream, context_of(secret.authority), server_side=True, https_compatible=True)
        )

    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host=LOOPBACK))
        collector = connect(
            {
                f"{ALL}_CERTIFICATE": secret.ca,
                f"{ALL}_CLIENT_CERTIFICATE": secret.cert,
                f"{ALL}_CLIENT_KEY": secret.key,
            },
            f"{LOOPBACK}:{listeners[0].socket.getsockname()[1]}",
        )
        for authority in (secret.authority, secret.authority, trustme.CA()):
            if authority is not secret.authority:
                secret.authority = authority
                secret.renew(datetime(2051, 1, 2, 3, 4, 5, tzinfo=UTC))
            await collector.send([])
        await collector.close()
        nursery.cancel_scope.cancel()
    assert receiver.connections == 3
    (line,) = [text for text in caplog.messages if "reloaded" in text]
    assert line == (
        f"TLS files are reloaded for new connections: {ALL}_CLIENT_CERTIFICATE, {ALL}_CLIENT_KEY, {ALL}_CERTIFICATE "
        "(valid until 2051-01-02 03:04:05 UTC)"
    )
