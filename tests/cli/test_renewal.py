"""Certificates renewed under running programs: who sees the new one, and that nothing open ends."""

import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
import trustme

from echo.cli.programs import open_backend
from echo.pb.com.gopay.echo import Message, ServerStub
from echo.rpc import Channel, Server, bind, open_channel, open_tcp_listener
from echo.services import echo_services
from echo.settings import load_settings
from echo.telemetry.meters import Meters
from echo.telemetry.prometheus import render
from echo.tls_files import INTERVAL
from tests.support.chat import chat, say
from tests.support.gateway import gateway_to, http_get_on
from tests.support.metrics import Scraped
from tests.support.process import PATIENCE, running
from tests.support.quiet_clock import QuietClock
from tests.support.renewed import Mounted, mounted_client
from tests.support.serving import LOOPBACK
from tests.support.tcp import reserved_port

SERVE = ["serve", "--grpc-server-bind", LOOPBACK, "--grpc-server-port", "0"]
EXPIRY = "echo_tls_certificate_expiry_seconds"


@pytest.fixture
def secret(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path / "server", trustme.CA())


def trusting(secret: Mounted) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=secret.ca)
    context.set_alpn_protocols(["h2"])
    return context


async def shown_on(port: int, secret: Mounted) -> bytes:
    """The certificate that a new connection sees."""
    raw = await trio.open_tcp_stream(LOOPBACK, port)
    async with trio.SSLStream(raw, trusting(secret), server_hostname=LOOPBACK, https_compatible=True) as stream:
        await stream.do_handshake()
        shown = stream.getpeercert(True)
    assert isinstance(shown, bytes)
    return shown


async def shown_from_now_on(port: int, secret: Mounted) -> None:
    """Wait until a program of its own shows the certificate as it is now."""
    with trio.fail_after(PATIENCE):
        while await shown_on(port, secret) != secret.serial():  # noqa: ASYNC110 - Of another process.
            await trio.sleep(0.05)


async def get_reply(channel: Channel) -> str:
    async with bind(ServerStub, channel) as stub:
        return (await stub.get_reply(Message("hi"))).response


async def test_a_server_shows_new_connections_the_new_certificate_and_ends_none(
    secret: Mounted, quiet_clock: QuietClock
) -> None:
    variables = {"GRPC_SERVER_BIND": LOOPBACK, "GRPC_SERVER_PORT": "0"}
    tls = {"GRPC_SERVER_CERT": secret.cert, "GRPC_SERVER_KEY": secret.key}
    async with open_backend(load_settings(variables | tls)) as backend:
        assert backend.port is not None
        async with open_channel(LOOPBACK, backend.port, tls=trusting(secret)) as channel, chat(channel) as stream:
            assert await say(stream, "before") == "from server: before"
            assert await shown_on(backend.port, secret) == secret.serial()
            secret.renew()
            await trio.sleep(INTERVAL + 1)
            assert await shown_on(backend.port, secret) == secret.serial()
            assert await say(stream, "after") == "from server: after"
            assert backend.server.tally.connections == 3
        await backend.drain(0)


async def test_a_gateway_shows_new_connections_the_new_certificate(secret: Mounted, quiet_clock: QuietClock) -> None:
    async with gateway_to(1, HTTP_CERT=secret.cert, HTTP_KEY=secret.key) as gateway:
        first = secret.serial()
        secret.renew()
        assert await shown_on(gateway.port, secret) == first != secret.serial()
        await trio.sleep(INTERVAL + 1)
        assert await shown_on(gateway.port, secret) == secret.serial()


async def test_a_gateway_shows_a_server_its_renewed_certificate_and_trusts_its_new_authority(
    tmp_path: Path, quiet_clock: QuietClock
) -> None:
    authorities = [trustme.CA(), trustme.CA()]
    secret = mounted_client(tmp_path / "client", authorities[0])
    variables = {"GRPC_CLIENT_CERT": secret.cert, "GRPC_CLIENT_KEY": secret.key, "GRPC_CLIENT_CA": secret.ca}
    with reserved_port() as port:
        async with gateway_to(port, GRPC_SERVER_TLS="true", **variables) as gateway:
            async with serving_mutually(authorities[0], port):
                assert (await http_get_on(gateway.port, "/grpc/hi")).status == 200
            async with serving_mutually(authorities[1], port):
                assert (await http_get_on(gateway.port, "/grpc/hi")).status == 503
                secret.authority = authorities[1]
                secret.renew()
                await trio.sleep(INTERVAL + 1)
                assert (await http_get_on(gateway.port, "/grpc/hi")).status == 200


@asynccontextmanager
async def serving_mutually(authority: trustme.CA, port: int) -> AsyncIterator[None]:
    """A server that has a certificate of this authority, and wants one from its clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert(LOOPBACK).configure_cert(context)
    async with trio.open_nursery() as nursery:
        listener = await open_tcp_listener(LOOPBACK, port, tls=context)
        await nursery.start(Server(echo_services().services).serve, listener)
        yield
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("workers", "renewals"), [pytest.param(1, 2, id="one process"), pytest.param(2, 1, marks=pytest.mark.slow)]
)
async def test_a_program_takes_renewed_certificates_by_itself_or_on_sighup(
    secret: Mounted, workers: int, renewals: int
) -> None:
    tls = {"GRPC_SERVER_CERT": secret.cert, "GRPC_SERVER_KEY": secret.key}
    async with running(*SERVE, WORKERS=str(workers), **tls) as echo:
        port = await echo.grpc_port()
        async with open_channel(LOOPBACK, port, tls=trusting(secret)) as channel:
            assert await get_reply(channel) == "from server:hi"
            for _ in range(renewals):
                secret.renew()
                if workers == 1:
                    echo.send(signal.SIGHUP)
                await shown_from_now_on(port, secret)
            assert await get_reply(channel) == "from server:hi"
        await echo.logged(r"TLS files are reloaded for new connections: GRPC_SERVER_CERT, GRPC_SERVER_KEY ")
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0


async def test_up_looks_at_all_its_files_on_sighup(tmp_path: Path, secret: Mounted) -> None:
    client = mounted_client(tmp_path / "client", secret.authority)
    variables = {
        "GRPC_SERVER_CERT": secret.cert,
        "GRPC_SERVER_KEY": secret.key,
        "GRPC_SERVER_CLIENT_CA": secret.ca,
        "HTTP_CERT": secret.cert,
        "HTTP_KEY": secret.key,
        "GRPC_CLIENT_CERT": client.cert,
        "GRPC_CLIENT_KEY": client.key,
        "GRPC_CLIENT_CA": secret.ca,
        "GRPC_SERVER_TLS": "true",
    }
    async with running("up", *SERVE[1:], "--http-bind", LOOPBACK, "--http-port", "0", **variables) as echo:
        await echo.http_port()
        secret.renew()
        client.renew()
        echo.send(signal.SIGHUP)
        for names in ("GRPC_SERVER_CERT, .*CLIENT_CA", "HTTP_CERT, HTTP_KEY", "GRPC_CLIENT_CERT, .*CLIENT_CA"):
            await echo.logged(f"reloaded for new connections: {names} ")
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0


async def test_the_expiry_of_the_certificate_in_use_is_a_metric(secret: Mounted, quiet_clock: QuietClock) -> None:
    early, late = datetime(2030, 1, 2, tzinfo=UTC), datetime(2051, 3, 4, tzinfo=UTC)
    secret.renew(early)
    variables = {"GRPC_SERVER_BIND": LOOPBACK, "GRPC_SERVER_PORT": "0"}
    tls = {"GRPC_SERVER_CERT": secret.cert, "GRPC_SERVER_KEY": secret.key}
    meters = Meters("test")

    def expiry() -> float:
        return Scraped(render(meters.snapshot()).decode()).value(EXPIRY, echo_setting="GRPC_SERVER_CERT")

    async with open_backend(load_settings(variables | tls), meters) as backend:
        assert expiry() == early.timestamp()
        secret.renew(late)
        (secret.data / "tls.key").write_text("rubbish")
        await trio.sleep(INTERVAL + 1)
        assert expiry() == early.timestamp()
        secret.renew(late)
        await trio.sleep(INTERVAL + 1)
        assert expiry() == late.timestamp()
        await backend.drain(0)
