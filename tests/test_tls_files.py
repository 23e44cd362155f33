"""TLS files that are renewed while they are in use, in virtual time: whose certificate new connections see."""

import logging
import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme

from echo.settings import SettingsError, load_settings
from echo.tls_files import INTERVAL, TlsFiles, client_files, following, server_files, web_files
from tests.support.renewed import Mounted, mounted_client, presented

A_LOOK = INTERVAL + 1  # Seconds in which the files are looked at.
AGO = datetime(2020, 2, 29, 12, 30, 15, tzinfo=UTC)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secret(tmp_path: Path, authority: trustme.CA) -> Mounted:
    return Mounted(tmp_path / "server", authority)


def files_of(secret: Mounted, **more: str) -> TlsFiles:
    files = server_files(load_settings({"GRPC_SERVER_CERT": secret.cert, "GRPC_SERVER_KEY": secret.key, **more}))
    assert files is not None
    return files


def shown_by(files: TlsFiles, secret: Mounted) -> bytes:
    return presented(files(), ssl.create_default_context(cafile=secret.ca))[0]


def test_without_tls_there_is_nothing_to_follow() -> None:
    assert [make(load_settings({})) for make in (server_files, client_files, web_files)] == [None, None, None]


def test_an_invalid_file_at_the_start_is_an_error(secret: Mounted) -> None:
    (secret.data / "tls.key").write_text("rubbish")
    with pytest.raises(SettingsError, match=r"GRPC_SERVER_KEY: .* holds no private key in PEM form"):
        files_of(secret)


async def test_a_renewed_secret_is_in_use_within_the_interval(
    secret: Mounted, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = files_of(secret)
    before = secret.serial()
    async with following(files):
        await trio.sleep(3 * INTERVAL)
        assert caplog.messages == []
        secret.renew(datetime(2051, 1, 2, 3, 4, 5, tzinfo=UTC))
        assert shown_by(files, secret) == before != secret.serial()
        await trio.sleep(A_LOOK)
        assert shown_by(files, secret) == secret.serial()
        await trio.sleep(3 * INTERVAL)
    (message,) = caplog.messages
    assert message == (
        "TLS files are reloaded for new connections: GRPC_SERVER_CERT, GRPC_SERVER_KEY "
        "(valid until 2051-01-02 03:04:05 UTC)"
    )


async def test_a_hangup_makes_it_look_at_once(secret: Mounted, autojump_clock: trio.testing.MockClock) -> None:
    files = files_of(secret)
    hung_up = trio.Event()

    async def hangup() -> None:
        await hung_up.wait()
        await trio.sleep(1)

    async with following(files, hangup=hangup):
        secret.renew()
        hung_up.set()
        await trio.sleep(1.5)
        assert shown_by(files, secret) == secret.serial()


async def test_a_certificate_whose_key_comes_later_waits_for_it_and_is_reported_once(
    tmp_path: Path, secret: Mounted, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = files_of(secret)
    other = Mounted(tmp_path / "other", secret.authority)
    before = secret.serial()
    async with following(files):
        (secret.data / "tls.crt").write_bytes((other.data / "tls.crt").read_bytes())
        await trio.sleep(5 * INTERVAL)
        assert shown_by(files, secret) == before
        (message,) = caplog.messages
        assert message == (
            "TLS files cannot be reloaded, new connections get the previous ones: "
            f"GRPC_SERVER_KEY: {secret.key!r} is not the key of the certificate in {secret.cert!r}"
        )
        (secret.data / "tls.key").write_bytes((other.data / "tls.key").read_bytes())
        await trio.sleep(A_LOOK)
        assert shown_by(files, secret) == other.serial()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


@pytest.mark.parametrize(
    ("file", "fault"), [("tls.crt", "missing"), ("tls.key", "missing"), ("tls.crt", "empty"), ("ca.crt", "rubbish")]
)
async def test_files_that_cannot_be_used_leave_the_previous_ones_in_use(
    secret: Mounted,
    file: str,
    fault: str,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = files_of(secret, GRPC_SERVER_CLIENT_CA=secret.ca)
    before = secret.serial()
    trusting = ssl.create_default_context(cafile=secret.ca)
    caller = secret.authority.issue_cert("someone@example.com")
    caller.configure_cert(trusting)
    async with following(files):
        path = secret.data / file
        content = path.read_bytes()
        if fault == "missing":
            path.unlink()
        else:
            path.write_bytes(b"" if fault == "empty" else b"rubbish\xff")
        await trio.sleep(5 * INTERVAL)
        assert presented(files(), trusting)[0] == before
        (message,) = caplog.messages
        setting = {"tls.crt": "GRPC_SERVER_CERT", "tls.key": "GRPC_SERVER_KEY", "ca.crt": "GRPC_SERVER_CLIENT_CA"}[file]
        assert f"previous ones: {setting}: " in message
        path.write_bytes(content)
        await trio.sleep(A_LOOK)
        secret.renew()
        await trio.sleep(A_LOOK)
        assert presented(files(), trusting)[0] == secret.serial()


def test_a_file_that_goes_between_two_looks_at_it_leaves_the_previous_ones_in_use(
    secret: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(secret)
    before = secret.serial()
    secret.renew()

    def vanish(*_: object, **__: object) -> None:
        raise FileNotFoundError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(ssl.SSLContext, "load_cert_chain", vanish)
        files.reload()
    assert shown_by(files, secret) == before


async def test_a_client_authority_is_added_and_another_withdrawn(
    tmp_path: Path, secret: Mounted, autojump_clock: trio.testing.MockClock
) -> None:
    files = files_of(secret, GRPC_SERVER_CLIENT_CA=secret.ca)
    newer = trustme.CA()
    old, new = ssl.create_default_context(), ssl.create_default_context()
    for context, issuer in ((old, secret.authority), (new, newer)):
        secret.authority.configure_trust(context)
        issuer.issue_cert("gateway@example.com").configure_cert(context)
    async with following(files):
        assert presented(files(), old)[1] is not None
        with pytest.raises(ssl.SSLCertVerificationError):
            presented(files(), new)
        secret.renew(trusted=[secret.authority, newer])
        await trio.sleep(A_LOOK)
        assert presented(files(), old)[1] is not None
        assert presented(files(), new)[1] is not None
        secret.renew(trusted=[newer])
        await trio.sleep(A_LOOK)
        assert presented(files(), new)[1] is not None
        with pytest.raises(ssl.SSLCertVerificationError):
            presented(files(), old)


async def test_a_client_s_certificate_and_the_authority_it_trusts_are_renewed(
    tmp_path: Path, authority: trustme.CA, autojump_clock: trio.testing.MockClock
) -> None:
    secret = mounted_client(tmp_path / "client", authority)
    variables = {"GRPC_CLIENT_CERT": secret.cert, "GRPC_CLIENT_KEY": secret.key, "GRPC_CLIENT_CA": secret.ca}
    files = client_files(load_settings({"GRPC_SERVER_TLS": "true", **variables}))
    assert files is not None
    newer = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(serving)
    newer.issue_cert("127.0.0.1").configure_cert(serving)
    async with following(files):
        with pytest.raises(ssl.SSLCertVerificationError):
            presented(serving, files())
        secret.renew(trusted=[newer])
        await trio.sleep(A_LOOK)
        assert presented(serving, files())[1] == secret.serial()


def test_an_expired_certificate_is_used_with_a_warning(secret: Mounted, caplog: pytest.LogCaptureFixture) -> None:
    secret.renew(AGO)
    files = files_of(secret)
    assert files.expires == AGO.timestamp()
    assert caplog.messages == [
        "GRPC_SERVER_CERT, GRPC_SERVER_KEY: the certificate has expired (valid until 2020-02-29 12:30:15 UTC)"
    ]


def test_a_context_costs_nothing_until_files_change(secret: Mounted) -> None:
    files = files_of(secret)
    context = files()
    os.utime(secret.data / "tls.crt")
    files.reload()
    assert files() is context
