"""TLS contexts: handshakes in memory, and the errors for files that cannot be used."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from echo.settings import SettingsError, load_settings
from echo.tls import client_context, server_context, web_context
from tests.support.tls import shake_hands


class Files:
    """Certificates as files: of the authority that everybody trusts, and of one that nobody does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority, stranger = trustme.CA(), trustme.CA()
        self.ca = self.write("ca.pem", authority.cert_pem.bytes())
        self.other_ca = self.write("other-ca.pem", stranger.cert_pem.bytes())
        self.server = self._pair("server", authority.issue_cert("localhost", "127.0.0.1"))
        self.client = self._pair("client", authority.issue_cert("gateway@example.com"))
        self.strange_client = self._pair("strange", stranger.issue_cert("gateway@example.com"))

    def write(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)

    def _pair(self, name: str, leaf: trustme.LeafCert) -> tuple[str, str]:
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
        return self.write(f"{name}.pem", chain), self.write(f"{name}.key", leaf.private_key_pem.bytes())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


def server(files: Files, **more: str) -> ssl.SSLContext:
    cert, key = files.server
    context = server_context(load_settings({}, grpc_server_cert=cert, grpc_server_key=key, **more))
    assert context is not None
    return context


def client(**settings: str) -> ssl.SSLContext:
    context = client_context(load_settings({}, grpc_server_tls="true", **settings))
    assert context is not None
    return context


def handshake(
    serving: ssl.SSLContext, calling: ssl.SSLContext, name: str = "localhost"
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Let two contexts shake hands in memory, and say a word each way; returns server's and client's end."""
    far, near = shake_hands(serving, calling, name)
    near.write(b"up")
    assert far.read() == b"up"
    far.write(b"down")
    assert near.read() == b"down"
    return far, near


def test_without_certificate_or_wish_there_is_no_tls() -> None:
    assert server_context(load_settings({})) is None
    assert client_context(load_settings({})) is None
    assert web_context(load_settings({})) is None


def test_server_and_client_agree_on_http2_and_a_modern_tls(files: Files) -> None:
    far, near = handshake(server(files), client(grpc_client_ca=files.ca))
    assert far.selected_alpn_protocol() == near.selected_alpn_protocol() == "h2"
    assert near.version() == "TLSv1.3"


def test_tls_1_2_is_taken_with_the_ciphers_http2_allows(files: Files) -> None:
    calling = client(grpc_client_ca=files.ca)
    calling.maximum_version = ssl.TLSVersion.TLSv1_2
    far, _ = handshake(server(files), calling)
    cipher = far.cipher()
    assert far.version() == "TLSv1.2"
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-")
    assert any(mode in cipher[0] for mode in ("GCM", "CHACHA20"))


def test_neither_end_goes_below_tls_1_2(files: Files) -> None:
    for context in (server(files), client(grpc_client_ca=files.ca)):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_cipher_http2_forbids_is_refused(files: Files) -> None:
    calling = client(grpc_client_ca=files.ca)
    calling.maximum_version = ssl.TLSVersion.TLSv1_2
    calling.set_ciphers("ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256:AES128-SHA")
    with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher|handshake.failure"):
        handshake(server(files), calling)


def test_the_server_is_verified_by_default(files: Files) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server(files), client())  # By the system's authorities, who don't know it.
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server(files), client(grpc_client_ca=files.other_ca))


def test_the_authorities_of_the_system_are_asked_by_default(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", files.ca)
    handshake(server(files), client())


def test_the_servers_name_is_verified(files: Files) -> None:
    handshake(server(files), client(grpc_client_ca=files.ca), name="127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname mismatch"):
        handshake(server(files), client(grpc_client_ca=files.ca), name="example.com")


def test_nothing_is_verified_only_when_asked_for(files: Files) -> None:
    handshake(server(files), client(grpc_client_insecure="true"), name="example.com")


def test_with_a_client_authority_a_client_must_show_its_certificate(files: Files) -> None:
    serving = server(files, grpc_server_client_ca=files.ca)
    cert, key = files.client
    far, _ = handshake(serving, client(grpc_client_ca=files.ca, grpc_client_cert=cert, grpc_client_key=key))
    assert far.getpeercert()
    with pytest.raises(ssl.SSLError, match=r"(?i)peer.did.not.return.a.certificate|certificate.required"):
        handshake(serving, client(grpc_client_ca=files.ca))
    cert, key = files.strange_client
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(serving, client(grpc_client_ca=files.ca, grpc_client_cert=cert, grpc_client_key=key))


def test_a_client_may_show_its_certificate_to_a_server_it_does_not_verify(files: Files) -> None:
    cert, key = files.client
    serving = server(files, grpc_server_client_ca=files.ca)
    handshake(serving, client(grpc_client_insecure="1", grpc_client_cert=cert, grpc_client_key=key))


Breaks = Callable[[Files], tuple[str, str, str]]


def locked(files: Files, form: serialization.PrivateFormat) -> str:
    """The server's key, encrypted."""
    key = serialization.load_pem_private_key(Path(files.server[1]).read_bytes(), None)
    passphrase = serialization.BestAvailableEncryption(b"secret")
    return files.write("locked.key", key.private_bytes(serialization.Encoding.PEM, form, passphrase))


def _cases() -> dict[str, tuple[Breaks, str]]:
    """The files (certificate, key, client authority), and the line about them; ``{0}`` to ``{2}`` are the files."""
    rubbish = b"rubbish\xff"
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    return {
        "certificate missing": (
            lambda files: (str(files.folder / "none.pem"), files.server[1], files.ca),
            "--grpc-server-cert: '{0}' cannot be read: No such file or directory",
        ),
        "certificate a folder": (
            lambda files: (str(files.folder), files.server[1], files.ca),
            "--grpc-server-cert: '{0}' cannot be read: Is a directory",
        ),
        "certificate rubbish": (
            lambda files: (files.write("rubbish", rubbish), files.server[1], files.ca),
            "--grpc-server-cert: '{0}' holds no certificate in PEM form",
        ),
        "certificate broken": (
            lambda files: (files.write("broken", broken), files.server[1], files.ca),
            "--grpc-server-cert: '{0}' holds no certificate in PEM form",
        ),
        "certificate a key": (
            lambda files: (files.server[1], files.server[1], files.ca),
            "--grpc-server-cert: '{0}' holds no certificate in PEM form",
        ),
        "key missing": (
            lambda files: (files.server[0], str(files.folder / "none.key"), files.ca),
            "--grpc-server-key: '{1}' cannot be read: No such file or directory",
        ),
        "key empty": (
            lambda files: (files.server[0], files.write("empty", b""), files.ca),
            "--grpc-server-key: '{1}' holds no private key in PEM form",
        ),
        "key rubbish": (
            lambda files: (files.server[0], files.write("rubbish", rubbish), files.ca),
            "--grpc-server-key: '{1}' holds no private key in PEM form",
        ),
        "key of another certificate": (
            lambda files: (files.server[0], files.client[1], files.ca),
            "--grpc-server-key: '{1}' is not the key of the certificate in '{0}'",
        ),
        "key encrypted": (
            lambda files: (files.server[0], locked(files, serialization.PrivateFormat.PKCS8), files.ca),
            "--grpc-server-key: '{1}' is encrypted; a key without a passphrase is needed",
        ),
        "key encrypted the old way": (
            lambda files: (
                files.server[0],
                locked(files, serialization.PrivateFormat.TraditionalOpenSSL),
                files.ca,
            ),
            "--grpc-server-key: '{1}' is encrypted; a key without a passphrase is needed",
        ),
        "client authority missing": (
            lambda files: (*files.server, str(files.folder / "none.pem")),
            "--grpc-server-client-ca: '{2}' cannot be read: No such file or directory",
        ),
        "client authority a key": (
            lambda files: (*files.server, files.server[1]),
            "--grpc-server-client-ca: '{2}' holds no certificate in PEM form",
        ),
    }


@pytest.mark.parametrize(("breaks", "line"), _cases().values(), ids=_cases().keys())
def test_a_wrong_file_is_one_line_with_setting_file_and_fault(files: Files, breaks: Breaks, line: str) -> None:
    cert, key, authority = breaks(files)
    settings = load_settings({}, grpc_server_cert=cert, grpc_server_key=key, grpc_server_client_ca=authority)
    with pytest.raises(SettingsError) as caught:
        server_context(settings)
    assert str(caught.value) == line.format(cert, key, authority)


def test_a_wrong_file_of_the_client_names_its_variable(files: Files) -> None:
    cert, key = files.client
    settings = load_settings({"GRPC_SERVER_TLS": "true", "GRPC_CLIENT_CA": key})
    with pytest.raises(SettingsError) as caught:
        client_context(settings)
    assert str(caught.value) == f"GRPC_CLIENT_CA: {key!r} holds no certificate in PEM form"
    settings = load_settings({"GRPC_SERVER_TLS": "1", "GRPC_CLIENT_CERT": cert, "GRPC_CLIENT_KEY": cert})
    with pytest.raises(SettingsError) as caught:
        client_context(settings)
    assert str(caught.value) == f"GRPC_CLIENT_KEY: {cert!r} holds no private key in PEM form"


def web(files: Files) -> ssl.SSLContext:
    cert, key = files.server
    context = web_context(load_settings({}, http_cert=cert, http_key=key))
    assert context is not None
    return context


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["h3"], None), ([], None)],
)
def test_the_gateway_speaks_http_2_with_who_can_and_http_1_with_the_others(
    files: Files, offered: list[str], chosen: str | None
) -> None:
    browser = ssl.create_default_context(cafile=files.ca)
    browser.set_alpn_protocols(offered)
    far, near = handshake(web(files), browser)
    assert far.selected_alpn_protocol() == near.selected_alpn_protocol() == chosen


def test_the_gateway_does_not_go_below_tls_1_2(files: Files) -> None:
    assert web(files).minimum_version == ssl.TLSVersion.TLSv1_2


def test_files_of_the_gateway_s_that_are_wrong_are_named(files: Files) -> None:
    cert, key = files.server
    other_key = files.client[1]
    for given, line in (
        ({"HTTP_CERT": "/no/cert", "HTTP_KEY": key}, "HTTP_CERT: '/no/cert' cannot be read: No such file or directory"),
        ({"HTTP_CERT": key, "HTTP_KEY": key}, f"HTTP_CERT: {key!r} holds no certificate in PEM form"),
        ({"HTTP_CERT": cert, "HTTP_KEY": cert}, f"HTTP_KEY: {cert!r} holds no private key in PEM form"),
        (
            {"HTTP_CERT": cert, "HTTP_KEY": other_key},
            f"HTTP_KEY: {other_key!r} is not the key of the certificate in {cert!r}",
        ),
    ):
        with pytest.raises(SettingsError) as raised:
            web_context(load_settings(given))
        assert str(raised.value) == line
