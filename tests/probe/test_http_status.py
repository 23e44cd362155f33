"""`http-status`, against hops with error pages of their own."""

from dataclasses import replace

import pytest
import trio

from echo.probe.checks.http_status import FAILURES, HttpStatus
from echo.probe.checks.ws_close import WsClose
from echo.probe.checks.ws_messages import WsMessages
from echo.probe.finding import Outcome
from echo.probe.survey import Survey
from echo.probe.target import Target
from tests.probe.gateway_paths import finding_of, path_to_a_gateway
from tests.probe.web_relays import Message, WebFault
from tests.support.serving import LOOPBACK

PAGE = b"<h1>Sorry</h1>"
HTML = (("Content-Type", "text/html"), ("Content-Length", str(len(PAGE))))


class ErrorPages(WebFault):
    """Replaces the bodies of server errors."""

    async def response(self, message: Message) -> Message:
        return replace(message, fields=HTML, body=PAGE) if message.first.split()[1][0] == "5" else message


class BadGateway(WebFault):
    """Replaces server errors altogether."""

    async def response(self, message: Message) -> Message:
        if message.first.split()[1][0] != "5":
            return message
        return Message("HTTP/1.1 502 Bad Gateway", HTML, PAGE)


class OtherTable(WebFault):
    """What a gateway would answer that maps RESOURCE_EXHAUSTED to another HTTP status."""

    async def response(self, message: Message) -> Message:
        wrong = message.first.split()[1] == "429"
        return replace(message, first="HTTP/1.1 503 Service Unavailable") if wrong else message


class HangUpAtErrors(WebFault):
    async def response(self, message: Message) -> Message:
        if message.first.split()[1] != "499":
            return message
        raise trio.BrokenResourceError


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    assert (await finding_of(HttpStatus(), direct=direct)).outcome is Outcome.SURVIVED


def test_every_status_that_can_fail_is_tried() -> None:
    assert sorted(status.value for status in FAILURES) == list(range(1, 17))


class Eject(WebFault):
    """Answers everything itself for good after so many server errors in a row, as Envoy's outlier detection does."""

    def __init__(self, errors: int) -> None:
        self.errors, self.seen = errors, 0

    async def response(self, message: Message) -> Message:
        if self.seen >= self.errors:
            return Message("HTTP/1.1 503 Service Unavailable", HTML, PAGE)
        self.seen = self.seen + 1 if message.first.split()[1][0] == "5" else 0
        return message


class AnswerItself(WebFault):
    """Answers without the gateway's having seen the request."""

    async def request(self, message: Message) -> Message:
        return replace(message, first="GET /healthz HTTP/1.1")

    async def response(self, message: Message) -> Message:
        return Message("HTTP/1.1 503 Service Unavailable", HTML, PAGE)


class AnswerOne(WebFault):
    """Answers one request for an error itself, as a limiter does, or a hop that fails now and then."""

    def __init__(self) -> None:
        self.done = False

    def for_connection(self) -> WebFault:
        return AnswerIfFirst(self)


class AnswerIfFirst(AnswerItself):
    def __init__(self, of_all: AnswerOne) -> None:
        self.of_all, self.mine = of_all, False

    async def request(self, message: Message) -> Message:
        self.mine = not self.of_all.done and "status=" in message.first
        self.of_all.done |= self.mine
        return await super().request(message) if self.mine else message

    async def response(self, message: Message) -> Message:
        return await super().response(message) if self.mine else message


@pytest.mark.parametrize("direct", [True, False])
async def test_a_request_that_the_server_has_not_seen_has_no_error_of_the_gateway(direct: bool) -> None:
    finding = await finding_of(HttpStatus(), AnswerOne(), direct=direct)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "seen 1 of 17 requests: HTTP 503 with text/html came instead" in finding.sentence


async def test_server_errors_do_not_come_in_a_row() -> None:
    assert (await finding_of(HttpStatus(), Eject(5))).outcome is Outcome.SURVIVED


async def test_a_hop_that_avoids_the_gateway_after_an_error_disturbs_no_other_check() -> None:
    async with path_to_a_gateway(Eject(1)) as path:
        report = await Survey(path, [WsMessages(), WsClose(), HttpStatus()]).run()
    assert [result.finding.outcome for result in report.results[:2]] == [Outcome.SURVIVED] * 2


async def test_replaced_bodies_are_reported() -> None:
    finding = await finding_of(HttpStatus(), ErrorPages())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "replaced")
    assert "6 of 17 errors" in finding.sentence
    assert "HTTP 500 with text/html came instead of HTTP 500 with JSON" in finding.sentence


async def test_a_gateway_with_another_table_is_reported() -> None:
    finding = await finding_of(HttpStatus(), OtherTable())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "replaced")
    assert "1 of 17 errors" in finding.sentence


async def test_replaced_statuses_are_reported() -> None:
    finding = await finding_of(HttpStatus(), BadGateway())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "replaced")
    assert "HTTP 502 with text/html came instead of HTTP 500 with JSON" in finding.sentence


async def test_an_error_that_never_arrives_is_reported() -> None:
    finding = await finding_of(HttpStatus(), HangUpAtErrors())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "replaced")
    assert "1 of 17" in finding.sentence
    assert "HTTP 499" in finding.sentence


async def test_a_server_that_does_not_do_as_asked_is_not_the_path_s_fault() -> None:
    finding = await finding_of(HttpStatus(), scripting=False)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.endswith("is ECHO_SCRIPTING off, or does the path drop query parameters?")


async def test_a_gateway_that_answers_nothing_is_not_judged() -> None:
    async with path_to_a_gateway() as path:
        report = await Survey(replace(path, gateway=Target(LOOPBACK, 1)), [HttpStatus()]).run()
    assert report.results[0].finding.outcome is Outcome.INCONCLUSIVE


class TurnAwayLater(WebFault):
    """Answers the first request only, and the others with a page of its own, as a limiter does."""

    def __init__(self) -> None:
        self.answered = 0

    async def response(self, message: Message) -> Message:
        self.answered += 1
        return message if self.answered == 1 else Message("HTTP/1.1 503 Service Unavailable", HTML, PAGE)


async def test_requests_that_are_turned_away_whatever_they_ask_for_are_no_replaced_errors() -> None:
    finding = await finding_of(HttpStatus(), TurnAwayLater())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.startswith("A plain request to the gateway fails (HTTP 503 with text/html)")
