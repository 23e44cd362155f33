"""The checks of the gateway's path, where it speaks TLS."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path as File

import pytest
import trio

from echo.probe.budget import Budget, Pace
from echo.probe.checks.ws_http2 import WsHttp2
from echo.probe.checks.ws_upgrade import WsUpgrade
from echo.probe.finding import Outcome
from echo.probe.path import Path
from echo.probe.survey import Survey
from echo.probe.target import Target
from echo.rpc import Server
from echo.services import echo_services
from tests.probe.gateway_paths import WEB_CHECKS
from tests.support.gateway import gateway_to
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK, serving
from tests.support.tls import Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder: File = tmp_path_factory.mktemp("certificates")
    return Certificates(folder)


@asynccontextmanager
async def secure_path(certificates: Certificates, tls: ssl.SSLContext | None = None) -> AsyncIterator[Path]:
    """The path to a gateway that speaks TLS; with ``tls``, to a hop before it that terminates it by that."""

    def calling(alpn: Sequence[str]) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=certificates.ca)
        context.set_alpn_protocols(list(alpn))
        return context

    cert, key = certificates.server
    own = {"HTTP_CERT": cert, "HTTP_KEY": key} if tls is None else {}
    server = Server(echo_services().services)
    async with serving(server) as port, gateway_to(port, server, **own) as gateway, trio.open_nursery() as nursery:
        at = gateway.port
        if tls is not None:
            at = await nursery.start(terminate, tls, gateway.port)
        way = Path(Target(LOOPBACK, port), calling, Budget.of(Pace.QUICK), gateway=Target(LOOPBACK, at, tls=True))
        yield way
        nursery.cancel_scope.cancel()


async def terminate(tls: ssl.SSLContext, port: int, *, task_status: trio.TaskStatus[int]) -> None:
    """Terminate TLS, and carry what is in it."""

    async def serve(client: trio.SSLStream[trio.SocketStream]) -> None:
        async def copy(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
            try:
                while data := await source.receive_some(65_536):
                    await sink.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            scope.cancel()

        async with client, await trio.open_tcp_stream(LOOPBACK, port) as server, trio.open_nursery() as nursery:
            nursery.start_soon(copy, client, server, nursery.cancel_scope)
            nursery.start_soon(copy, server, client, nursery.cancel_scope)

    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    task_status.started(listener.socket.getsockname()[1])
    await trio.serve_listeners(serve, [trio.SSLListener(listener, tls, https_compatible=True)])


async def test_a_clean_path_survives_them_all(certificates: Certificates, quiet_clock: QuietClock) -> None:
    async with secure_path(certificates) as path:
        report = await Survey(path, WEB_CHECKS).run()
    assert {result.name: result.finding.outcome for result in report.results} == dict.fromkeys(
        [check.name for check in WEB_CHECKS], Outcome.SURVIVED
    )


async def test_a_hop_that_chooses_http1_is_a_limit(certificates: Certificates) -> None:
    terminating = certificates.serving()
    terminating.set_alpn_protocols(["http/1.1"])
    async with secure_path(certificates, terminating) as path:
        report = await Survey(path, [WsHttp2()]).run()
    finding = report.results[0].finding
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "not-offered")
    assert "does not speak HTTP/2" in finding.sentence


async def test_a_gateway_that_is_called_without_its_tls_is_reported(certificates: Certificates) -> None:
    async with secure_path(certificates) as path:
        assert path.gateway is not None
        plain = replace(path.gateway, tls=False, prefix="/echo")
        report = await Survey(replace(path, gateway=plain), [WsUpgrade()]).run()
    finding = report.results[0].finding
    assert finding.outcome is Outcome.BROKEN
    url = f"https://{plain.authority}/echo"
    assert finding.sentence == f"The gateway's port speaks TLS, and was called without it: write {url}."
