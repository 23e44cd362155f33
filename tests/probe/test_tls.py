"""Paths that speak TLS, and those that only seem to."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path as File

import pytest
import trio

from echo.probe.budget import Budget, Pace
from echo.probe.checks.cancel import Cancel
from echo.probe.checks.http2 import Http2Check
from echo.probe.checks.trailers import Trailers
from echo.probe.checks.ws_upgrade import WsUpgrade
from echo.probe.finding import Outcome
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.survey import Survey
from echo.probe.target import Target
from echo.rpc import Server
from echo.services import echo_services
from tests.probe.relays import relaying
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK, serving
from tests.support.tls import OTHER_NAME, Certificates, serving_tls


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder: File = tmp_path_factory.mktemp("certificates")
    return Certificates(folder)


def offering(context: ssl.SSLContext, alpn: Sequence[str]) -> ssl.SSLContext:
    context.set_alpn_protocols(list(alpn))
    return context


@asynccontextmanager
async def behind_tls(
    certificates: Certificates, *, alpn: str | None = "h2", ca: str | None = None
) -> AsyncIterator[Path]:
    """A hop that terminates TLS before a server that does not speak it."""
    terminating = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terminating.load_cert_chain(*certificates.server)
    if alpn is not None:
        terminating.set_alpn_protocols([alpn])
    async with (
        serving(Server(echo_services().services)) as port,
        relaying(port, tls=terminating) as hop,
    ):
        tls = partial(offering, certificates.calling(ca=ca))
        yield Path(Target(LOOPBACK, hop.port, tls=True), tls, direct=[Target(LOOPBACK, port)])


async def test_a_clean_path_survives_and_its_version_is_reported(certificates: Certificates) -> None:
    async with behind_tls(certificates) as path:
        report = await Survey(path, [Http2Check(), Trailers(), Cancel()]).run()
    assert {result.finding.outcome for result in report.results} == {Outcome.SURVIVED}
    assert report.path.tls in ("TLSv1.2", "TLSv1.3")


async def test_a_hop_that_chooses_http1_is_reported(certificates: Certificates) -> None:
    async with behind_tls(certificates, alpn="http/1.1") as path:
        report = await Survey(path, [Http2Check()]).run()
    finding = report.results[0].finding
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "alpn")
    assert report.results[0].advice
    assert report.path.protocol == "HTTP/1.1"


async def test_a_hop_without_alpn_is_told_as_most_clients_refuse_it(certificates: Certificates) -> None:
    async with behind_tls(certificates, alpn=None) as path:
        report = await Survey(path, [Http2Check(), Trailers()]).run()
    finding, trailers = (result.finding for result in report.results)
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "alpn")
    assert "most gRPC clients then refuse to connect" in finding.sentence
    assert report.results[0].advice
    assert trailers.outcome is Outcome.SURVIVED


async def test_a_certificate_that_nobody_trusts_is_reported_in_one_line(certificates: Certificates) -> None:
    async with behind_tls(certificates, ca=certificates.strange_ca) as path:
        with pytest.raises(UnreachableError, match=r"^cannot reach .*: TLS handshake failed: .*") as raised:
            await Survey(path, []).run()
    assert "\n" not in str(raised.value)


async def test_tls_where_there_is_none_is_reported(certificates: Certificates) -> None:
    async with behind_tls(certificates) as path:
        plain = replace(path.direct[0], tls=True)
        with pytest.raises(UnreachableError, match="does not speak TLS"):
            await Survey(replace(path, target=plain), []).run()


async def test_a_hop_to_the_gateway_that_wants_a_certificate_of_ours_is_told_in_words(
    certificates: Certificates,
) -> None:
    wanting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    wanting.load_cert_chain(*certificates.server)
    wanting.load_verify_locations(certificates.ca)
    wanting.verify_mode = ssl.CERT_REQUIRED

    async def refuse(stream: trio.SocketStream) -> None:  # trio's own stream would not send the alert.
        received, sent, wants_more = ssl.MemoryBIO(), ssl.MemoryBIO(), True
        handshake = wanting.wrap_bio(received, sent, server_side=True)
        while wants_more:
            received.write(await stream.receive_some())
            try:
                handshake.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                wants_more = False
            await stream.send_all(sent.read())
        while await stream.receive_some():  # Closing at once could lose the alert.
            pass

    async with trio.open_nursery() as nursery, behind_tls(certificates) as path:
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        await nursery.start(trio.serve_listeners, refuse, [listener])
        where = Target(LOOPBACK, listener.socket.getsockname()[1], tls=True)
        report = await Survey(replace(path, gateway=where), [WsUpgrade()]).run()
        nursery.cancel_scope.cancel()
    assert "refused by TLS: it requires a client certificate" in report.results[0].finding.sentence


async def test_tls_on_the_plain_port_of_a_gateway_is_told_in_words(certificates: Certificates) -> None:
    async def refuse(stream: trio.SocketStream) -> None:  # As our gateway does.
        await stream.receive_some()
        await stream.send_all(b"\x15\x03\x01\x00\x02\x02\x46")

    async with trio.open_nursery() as nursery, behind_tls(certificates) as path:
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        await nursery.start(trio.serve_listeners, refuse, [listener])
        where = Target(LOOPBACK, listener.socket.getsockname()[1], tls=True)
        with pytest.raises(UnreachableError, match="the other side does not speak TLS on this port, or no version"):
            await Survey(replace(path, target=where), []).run()
        nursery.cancel_scope.cancel()


async def test_the_server_s_name_is_meant_where_the_path_is_bypassed_as_well(certificates: Certificates) -> None:
    server = Server(echo_services().services)
    async with serving_tls(server, certificates.serving(certificates.misnamed)) as port:
        end = Target(LOOPBACK, port, tls=True)
        tls = partial(offering, certificates.calling())
        path = Path(end, tls, Budget.of(Pace.QUICK), direct=[replace(end)], server_name=OTHER_NAME)
        report = await Survey(path, [Cancel()]).run()
    assert report.results[0].finding.outcome is Outcome.SURVIVED


@pytest.mark.parametrize(
    ("strange", "why"),
    [
        (False, "it requires a client certificate (--cert and --key)"),
        (True, "it refuses our certificate: it does not know who signed it"),
    ],
)
async def test_a_server_that_wants_another_certificate_of_ours_is_not_said_to_keep_silent(
    certificates: Certificates, strange: bool, why: str
) -> None:
    """With TLS 1.3, it says so only after our end of the handshake."""
    serving_mtls = certificates.serving(client_ca=certificates.ca)
    ours = certificates.calling(certificates.strange_client if strange else None)
    async with serving_tls(Server(echo_services().services), serving_mtls) as port:
        path = Path(Target(LOOPBACK, port, tls=True), partial(offering, ours))
        report = await Survey(path, [Http2Check()]).run()
    finding = report.results[0].finding
    assert finding.sentence == f"The path refuses us in the TLS handshake: {why}."
    assert not report.results[0].advice


async def test_tls_where_plain_text_was_asked_for_is_reported(certificates: Certificates) -> None:
    async with behind_tls(certificates) as path:
        report = await Survey(replace(path, target=replace(path.target, tls=False)), [Http2Check()]).run()
    finding = report.results[0].finding
    assert finding.outcome is Outcome.BROKEN
    assert (
        finding.sentence
        == f"This port speaks TLS, and was called without it: write https://{path.target}, or add --tls."
    )
    assert not report.results[0].advice


async def test_a_tls_handshake_that_is_never_answered_is_reported(
    certificates: Certificates, quiet_clock: QuietClock
) -> None:
    (silent,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with silent, behind_tls(certificates) as path:
        where = Target(LOOPBACK, silent.socket.getsockname()[1], tls=True)
        with pytest.raises(UnreachableError, match=r"TLS handshake failed: no answer within 5 s$"):
            await Survey(replace(path, target=where), []).run()


async def test_a_connection_that_is_reset_during_the_tls_handshake_is_reported_in_words(
    certificates: Certificates,
) -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)  # The rest stays unread, so closing sends RST.
        await stream.aclose()

    async with trio.open_nursery() as nursery, behind_tls(certificates) as path:
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        await nursery.start(trio.serve_listeners, reset, [listener])
        where = Target(LOOPBACK, listener.socket.getsockname()[1], tls=True)
        with pytest.raises(UnreachableError, match=r"TLS handshake failed: Connection reset by peer$"):
            await Survey(replace(path, target=where), []).run()
        nursery.cancel_scope.cancel()
