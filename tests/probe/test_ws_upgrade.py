"""`ws-upgrade`, against hops that do not support upgrades, or answer them themselves."""

from collections.abc import Iterable
from dataclasses import replace

import trio

from echo.advice import advice_for_message
from echo.probe.checks.ws_http2 import WsHttp2
from echo.probe.checks.ws_upgrade import WsUpgrade
from echo.probe.finding import Outcome
from echo.probe.survey import Survey
from echo.probe.target import Target
from tests.probe.gateway_paths import WEB_CHECKS, finding_of, path_to_a_gateway
from tests.probe.web_relays import Bare, Message, WebFault, WebLine
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK


class DropUpgrade(WebFault):
    async def request(self, message: Message) -> Message:
        return message.without("upgrade", "connection")


class ErrorPage(WebFault):
    async def response(self, message: Message) -> Message:
        if not message.first.startswith("HTTP/1.1 101"):
            return message
        return Message("HTTP/1.1 400 Bad Request", (("Content-Type", "text/html"), ("Content-Length", "3")), b"no.")


class HangUp(WebFault):
    async def response(self, message: Message) -> Message:
        if not message.first.startswith("HTTP/1.1 101"):
            return message
        raise trio.BrokenResourceError


class Swallow(WebFault):
    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return []


async def test_a_clean_path_survives() -> None:
    assert (await finding_of(WsUpgrade())).outcome is Outcome.SURVIVED


async def test_lost_headers_are_named() -> None:
    finding = await finding_of(WsUpgrade(), DropUpgrade())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "headers")
    assert "without its headers Upgrade and Connection: Upgrade" in finding.sentence


class Forbid(WebFault):
    async def response(self, message: Message) -> Message:
        return Message("HTTP/1.1 403 Forbidden", (("Content-Type", "text/html"), ("Content-Length", "3")), b"no.")


class LoseAccept(WebFault):
    """Passes no Sec-WebSocket-Accept on, as Envoy does not if it speaks HTTP/2 to the gateway."""

    async def response(self, message: Message) -> Message:
        return message.without("sec-websocket-accept")


async def test_a_hop_that_lets_no_request_in_is_told_from_one_that_refuses_websockets() -> None:
    finding = await finding_of(WsUpgrade(), Forbid())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "every-request")
    assert finding.sentence.endswith("HTTP 403 with text/html came, as it does for plain requests.")


class CallItBad(WebFault):
    async def response(self, message: Message) -> Message:
        return Message("HTTP/1.1 400 Bad Request", (("Content-Length", "0"),))


async def test_a_bad_request_whatever_is_asked_suggests_proxy_protocol() -> None:
    finding = await finding_of(WsUpgrade(), CallItBad())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "every-request")
    assert "HAProxy: server … send-proxy (default off): take it off, and send-proxy-v2" in advice_for_message(
        finding.sentence
    )


async def test_an_incomplete_handshake_is_reported() -> None:
    finding = await finding_of(WsUpgrade(), LoseAccept())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "handshake")
    assert "101 comes without Sec-WebSocket-Accept" in finding.sentence


async def test_an_answer_by_somebody_else_is_reported() -> None:
    finding = await finding_of(WsUpgrade(), ErrorPage())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "other")
    assert "HTTP 400 with text/html" in finding.sentence


async def test_a_connection_that_is_closed_at_the_handshake_is_reported() -> None:
    finding = await finding_of(WsUpgrade(), HangUp())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "refused")
    assert "Plain requests are answered" in finding.sentence


async def test_a_websocket_that_carries_nothing_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsUpgrade(), Swallow())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "other")
    assert "no reply comes within 3 s" in finding.sentence


class NeverAnswer(WebFault):
    """Accepts connections, and says nothing on any of them."""

    async def response(self, message: Message) -> Message:
        await trio.sleep_forever()
        raise AssertionError


class KeepHandshakes(NeverAnswer):
    async def response(self, message: Message) -> Message:
        return await super().response(message) if message.first.startswith("HTTP/1.1 101") else message


async def test_a_handshake_that_is_never_answered_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsUpgrade(), KeepHandshakes())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "refused")
    assert finding.sentence == "Plain requests are answered, but a WebSocket is not opened: no answer within 3 s."


async def test_a_silent_gateway_takes_the_time_of_no_other_check(quiet_clock: QuietClock) -> None:
    async with path_to_a_gateway(NeverAnswer()) as path:
        began = trio.current_time()
        checks = [check for check in WEB_CHECKS if check.name != "ws-http2"]  # The hop passes HTTP/2 on unseen.
        report = await Survey(path, checks).run()
    found = {result.name: result.finding for result in report.results}
    assert found["ws-upgrade"].sentence == "The gateway does not answer at all: no answer within 3 s."
    assert found["http-status"].sentence == "The gateway does not answer at all; is its URL right?"
    assert {finding.outcome for finding in found.values()} == {Outcome.INCONCLUSIVE, Outcome.SKIPPED}
    assert trio.current_time() - began < 9.0  # Of which `http-status`, which comes last, takes two.


async def test_a_gateway_that_answers_nothing_is_not_judged() -> None:
    async with path_to_a_gateway() as path:
        gone = replace(path, gateway=Target(LOOPBACK, 1))
        report = await Survey(gone, [WsUpgrade(), WsHttp2()]).run()
    assert {result.finding.outcome for result in report.results} == {Outcome.INCONCLUSIVE}
