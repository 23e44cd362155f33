"""`http2`, against paths that speak something else."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
import trio

from echo.probe.checks.http2 import Http2Check
from echo.probe.finding import Outcome
from echo.probe.survey import Survey
from echo.probe.target import Target
from tests.probe.distance import far_away
from tests.probe.paths import finding_of, path_through
from tests.probe.relays import Fault, Head, Item, Line
from tests.probe.turning_away import KeepCalls, Refuse
from tests.support.gateway import running_gateway
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK


async def test_a_clean_path_survives() -> None:
    assert (await finding_of(Http2Check())).outcome is Outcome.SURVIVED


async def test_an_http1_server_is_told_by_its_answer() -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery, path_through() as path:
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        await nursery.start(trio.serve_listeners, answer, [listener])
        object.__setattr__(path, "target", Target(LOOPBACK, listener.socket.getsockname()[1]))
        report = await Survey(path, [Http2Check()]).run()
        nursery.cancel_scope.cancel()
    finding = report.results[0].finding
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "http1")
    assert "HTTP/1.1 400 Bad Request" in finding.sentence


async def test_the_gateway_s_address_given_as_the_server_s_is_recognised() -> None:
    async with running_gateway() as gateway, path_through() as path:
        object.__setattr__(path, "target", Target(LOOPBACK, gateway.port))
        report = await Survey(path, [Http2Check()]).run()
    finding = report.results[0].finding
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "no-route")
    assert finding.sentence == (
        "A plain call reached the gateway instead of the server: give the server's address as TARGET and this one as "
        "--gateway, or have the path forward gRPC to the server."
    )


class ErrorPage(Fault):
    """Answers every call with a page."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if not isinstance(item, Head):
            return [item] if item.kind != 0 else []
        page = [(":status", "502"), ("content-type", "text/html")]
        return [] if item.ends else [Head(item.stream, page, ends=True)]


async def test_an_error_page_is_reported() -> None:
    finding = await finding_of(Http2Check(), ErrorPage())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "call")
    assert "HTTP 502 and text/html" in finding.sentence


class TurnAway(Fault):
    """Answers every call as a firewall or an identity proxy does."""

    def __init__(self, status: str) -> None:
        self.status = status

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if not isinstance(item, Head):
            return [item] if item.kind != 0 else []
        page = [(":status", self.status), ("content-type", "text/html")]
        return [] if item.ends else [Head(item.stream, page, ends=True)]


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (Refuse("7", "RBAC: access denied"), "refused", "PERMISSION_DENIED (RBAC: access denied) before the server"),
        (Refuse("16", ""), "refused", "UNAUTHENTICATED before the server: a hop asks for credentials"),
        (Refuse("12", ""), "no-route", "failed: UNIMPLEMENTED: no route leads to an echo server for this name"),
        (Refuse("14", "no route to host"), "no-server", "UNAVAILABLE (no route to host): the path does not get thr"),
        (TurnAway("404"), "no-route", "HTTP 404 and text/html: no route leads to an echo server"),
        (TurnAway("503"), "no-server", "HTTP 503 and text/html: the path does not get through to the server"),
    ],
)
async def test_an_answer_of_a_hop_s_own_tells_why_the_call_does_not_arrive(
    fault: Fault, cause: str, words: str
) -> None:
    finding = await finding_of(Http2Check(), fault)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, cause)
    assert words in finding.sentence


async def test_what_a_hop_says_chooses_the_advice() -> None:
    async with path_through(Refuse("14", "upstream connect error. reset reason: overflow")) as path:
        report = await Survey(path, [Http2Check()]).run()
    assert report.results[0].advice[0].startswith("Envoy: circuit_breakers.thresholds.max_requests")


@pytest.mark.parametrize("status", ["302", "401", "403"])
async def test_a_hop_that_does_not_let_us_in_is_not_taken_for_one_that_speaks_another_protocol(status: str) -> None:
    finding = await finding_of(Http2Check(), TurnAway(status))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "refused")
    assert f"HTTP {status} before the server: a hop asks for credentials" in finding.sentence


class SpeakHttp1(ErrorPage):
    """Speaks HTTP/1.1 to the server, and passes on what it says to that."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if not isinstance(item, Head):
            return [item] if item.kind != 0 else []
        if item.ends:
            return []
        text = b"This port speaks gRPC (HTTP/2); the request arrived as HTTP/1.1. A proxy has to forward HTTP/2."
        line.client.send(Head(item.stream, [(":status", "505"), ("content-type", "text/plain")]))
        line.data(line.client, item.stream, text, end=True)
        return []


async def test_a_hop_that_speaks_http1_to_the_server_is_reported() -> None:
    finding = await finding_of(Http2Check(), SpeakHttp1())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "call")
    assert finding.sentence == "The path speaks HTTP/2 to us, but not to the server: a call reached it as HTTP/1.1."


async def test_a_hop_that_speaks_http2_and_keeps_calls_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Http2Check(), KeepCalls())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "unanswered")
    assert finding.sentence == "A plain call was never answered."


@pytest.mark.parametrize(
    "header", [b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 443\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)]
)
async def test_proxy_protocol_in_front_of_the_server_is_named(header: bytes) -> None:
    async with path_through() as path, far_away(path.direct[0].port, first=header) as port:
        report = await Survey(replace(path, target=Target(LOOPBACK, port)), [Http2Check()]).run()
    (result,) = report.results
    assert result.finding.outcome is Outcome.BROKEN
    assert "HAProxy: server … send-proxy (default off): take it off, and send-proxy-v2" in result.advice
