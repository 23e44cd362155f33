"""Paths that speak TLS, and those that only seem to."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path as File

import pytest

from echo.probe.checks.cancel import Cancel
from echo.probe.checks.http2 import Http2Check
from echo.probe.checks.trailers import Trailers
from echo.probe.finding import Outcome
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.survey import Survey
from echo.probe.target import Target
from echo.rpc import Server
from echo.services import echo_services
from tests.probe.relays import relaying
from tests.support.serving import LOOPBACK, serving
from tests.support.tls import Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder: File = tmp_path_factory.mktemp("certificates")
    return Certificates(folder)


def offering(context: ssl.SSLContext, alpn: Sequence[str]) -> ssl.SSLContext:
    context.set_alpn_protocols(list(alpn))
    return context


@asynccontextmanager
async def behind_tls(certificates: Certificates, *, alpn: str = "h2", ca: str | None = None) -> AsyncIterator[Path]:
    """A hop that terminates TLS before a server that does not speak it."""
    terminating = certificates.serving()
    terminating.set_alpn_protocols([alpn])
    async with (
        serving(Server(echo_services().services)) as port,
        relaying(port, tls=terminating) as hop,
    ):
        tls = partial(offering, certificates.calling(ca=ca))
        yield Path(Target(LOOPBACK, hop.port, tls=True), tls, direct=[Target(LOOPBACK, port)])


async def test_a_clean_path_survives_and_its_version_is_told(certificates: Certificates) -> None:
    async with behind_tls(certificates) as path:
        report = await Survey(path, [Http2Check(), Trailers(), Cancel()]).run()
    assert {result.finding.outcome for result in report.results} == {Outcome.SURVIVED}
    assert report.path.tls in ("TLSv1.2", "TLSv1.3")


async def test_a_hop_that_chooses_http1_is_told(certificates: Certificates) -> None:
    async with behind_tls(certificates, alpn="http/1.1") as path:
        report = await Survey(path, [Http2Check()]).run()
    finding = report.results[0].finding
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "alpn")
    assert report.results[0].advice
    assert report.path.protocol == "HTTP/1.1"


async def test_a_certificate_that_nobody_trusts_is_told_in_one_line(certificates: Certificates) -> None:
    async with behind_tls(certificates, ca=certificates.strange_ca) as path:
        with pytest.raises(UnreachableError, match=r"^cannot reach .*: TLS handshake failed: .*") as raised:
            await Survey(path, []).run()
    assert "\n" not in str(raised.value)


async def test_tls_where_there_is_none_is_told(certificates: Certificates) -> None:
    async with behind_tls(certificates) as path:
        plain = replace(path.direct[0], tls=True)
        with pytest.raises(UnreachableError, match="does not speak TLS"):
            await Survey(replace(path, target=plain), []).run()
