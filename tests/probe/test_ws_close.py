"""`ws-close`, against hops that close in a way of their own."""

from collections.abc import Iterable

import pytest

from echo.probe.checks.ws_close import WsClose
from echo.probe.finding import Outcome
from tests.probe.gateway_paths import finding_of
from tests.probe.web_relays import Bare, WebFault, WebLine
from tests.support.frames import CLOSE
from tests.support.quiet_clock import QuietClock


class DropCloses(WebFault):
    """Hangs up where the gateway closes."""

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if frame.opcode == CLOSE:
            line.close()
            return []
        return [frame]


class CloseNormally(WebFault):
    """Knows but one code."""

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [Bare(CLOSE, (1000).to_bytes(2) + frame.payload[2:])] if frame.opcode == CLOSE else [frame]


class StripReasons(WebFault):
    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [Bare(CLOSE, frame.payload[:2])] if frame.opcode == CLOSE else [frame]


class AnswerCloses(WebFault):
    """Answers our close frames by itself, and hangs up on the gateway."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if frame.opcode != CLOSE:
            return [frame]
        await line.to_client(frame)
        return []


class IgnoreCloses(WebFault):
    """Neither answers our close frames nor passes them on."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [] if frame.opcode == CLOSE else [frame]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    assert (await finding_of(WsClose(), direct=direct)).outcome is Outcome.SURVIVED


async def test_lost_close_frames_are_reported() -> None:
    finding = await finding_of(WsClose(), DropCloses())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "rewritten")
    assert "we closed with code 1000 and “done” ended without a close frame" in finding.sentence
    assert "7 of 7" in finding.sentence


async def test_other_codes_are_reported() -> None:
    finding = await finding_of(WsClose(), CloseNormally())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "rewritten")
    assert "closed with code 1001 ended with code 1000 (5 of 7" in finding.sentence


async def test_a_hop_that_answers_for_the_gateway_is_reported() -> None:
    finding = await finding_of(WsClose(), AnswerCloses())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "rewritten")
    assert "ended that way for us, but for the gateway it ended without a close frame (5 of 7" in finding.sentence


async def test_lost_reasons_are_reported() -> None:
    finding = await finding_of(WsClose(), StripReasons())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "rewritten")
    assert "“done” ended without the reason" in finding.sentence


async def test_a_close_that_is_never_answered_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsClose(), IgnoreCloses())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "rewritten")
    assert "stayed open for 3 s" in finding.sentence


async def test_a_server_that_does_not_do_as_asked_is_not_the_path_s_fault() -> None:
    finding = await finding_of(WsClose(), scripting=False)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.endswith("is ECHO_SCRIPTING off, or does the path drop query parameters?")
