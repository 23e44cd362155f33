"""`stream-idle`, against hops that cut off silent streams in each way there is, and against others that do not."""

import pytest

from echo.probe.checks.stream_idle import StreamIdle
from echo.probe.finding import Outcome
from tests.probe.cutting import (
    CutIdleConnections,
    CutOldConnections,
    CutOldStreams,
    CutSilentClients,
    CutSilentStreams,
    CutStreamsOldSinceHalfClose,
    CutUnansweredCalls,
    How,
)
from tests.probe.holding import HoldResponses
from tests.probe.paths import finding_of
from tests.probe.repeating import RepeatLate
from tests.probe.turning_away import AnswerWithPages, TurnAwayOddLines
from tests.support.quiet_clock import QuietClock

IDLE = 6.0


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(StreamIdle(), idle=IDLE, direct=direct)
    assert (finding.outcome, finding.limit, finding.unit) == (Outcome.SURVIVED, IDLE, "s")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("reset", "after 3.0 s: the call is reset"),
        ("goaway", "after 3.1 s: the connection is closed, with notice"),
        ("closed", "after 3.0 s: the connection is closed"),
        ("silence", "within 5 s: later messages are lost"),
    ],
)
async def test_silent_streams_that_are_cut_off_are_reported(quiet_clock: QuietClock, how: How, words: str) -> None:
    finding = await finding_of(StreamIdle(), CutSilentStreams(3.0, how), idle=IDLE)
    assert (finding.outcome, finding.cause, finding.unit) == (Outcome.LIMITED, how, "s")
    assert words in finding.sentence
    assert finding.limit == (2.0 if how == "silence" else pytest.approx(3.0, abs=0.11))


async def test_a_hop_that_waits_for_the_client_alone_is_told_apart(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamIdle(), CutSilentClients(3.0), idle=IDLE)
    assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, "our-silence", 3.0)
    assert finding.sentence.startswith("The path waits 3.0 s for our next message on a stream")


@pytest.mark.parametrize("how", ["closed", "silence"])
async def test_idle_connections_that_are_cut_off_are_the_business_of_another_check(
    quiet_clock: QuietClock, how: How
) -> None:
    finding = await finding_of(StreamIdle(), CutIdleConnections(3.0, how), idle=IDLE)
    assert (finding.outcome, finding.limit) == (Outcome.SURVIVED, IDLE)
    assert "keeps its connection in use" in finding.sentence


async def test_old_streams_that_are_cut_off_are_the_business_of_another_check(quiet_clock: QuietClock) -> None:
    assert (await finding_of(StreamIdle(), CutOldStreams(3.0), idle=IDLE)).outcome is Outcome.INCONCLUSIVE


async def test_old_connections_that_are_closed_are_the_business_of_another_check(quiet_clock: QuietClock) -> None:
    fault = CutOldConnections(3.0, "goaway")
    assert (await finding_of(StreamIdle(), fault, idle=IDLE)).outcome is Outcome.INCONCLUSIVE


async def test_a_hop_that_does_not_wait_for_a_first_response_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamIdle(), CutUnansweredCalls(2.0), idle=IDLE)
    assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, "first-response", 2.0)
    assert finding.sentence.startswith("The path waits 2.0 s for a call's first response, then the call ends with a re")


@pytest.mark.parametrize("direct", [True, False])
async def test_a_hop_that_makes_a_late_call_again_is_reported(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(StreamIdle(), RepeatLate(2.0), idle=IDLE, direct=direct)
    assert (finding.outcome, finding.cause, finding.unit) == (Outcome.LIMITED, "made-again", "s")
    assert finding.sentence.startswith("The path waits ")  # How long by the server's clock, which is a real one here.
    assert finding.sentence.endswith("the server may be working on it: it was seen 3 times.")


async def test_old_calls_that_are_cut_off_are_the_business_of_another_check(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamIdle(), CutStreamsOldSinceHalfClose(3.0), idle=IDLE)
    assert (finding.outcome, finding.limit) == (Outcome.SURVIVED, IDLE)


async def test_where_no_answer_comes_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamIdle(), HoldResponses(), idle=IDLE)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.startswith("No stream was answered at all")


@pytest.mark.parametrize("fault", [AnswerWithPages, TurnAwayOddLines])
async def test_streams_that_a_hop_answers_itself_are_not_cut_off_for_their_silence(
    quiet_clock: QuietClock, fault: type[AnswerWithPages]
) -> None:
    finding = await finding_of(StreamIdle(), fault(), idle=IDLE)
    assert finding.outcome in (Outcome.SURVIVED, Outcome.INCONCLUSIVE)
    assert "busy" not in finding.sentence
