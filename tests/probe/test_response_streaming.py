"""`response-streaming`, against hops that hold responses back."""

import pytest

from echo.probe.checks.response_streaming import ResponseStreaming
from echo.probe.finding import Outcome
from tests.probe.holding import HoldResponses, ReleaseInTurns, TrickleAtTheEnd
from tests.probe.paths import finding_of
from tests.support.quiet_clock import QuietClock


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(quiet_clock: QuietClock, direct: bool) -> None:
    assert (await finding_of(ResponseStreaming(), direct=direct)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize("direct", [True, False])
async def test_responses_held_back_to_the_end_are_reported(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(ResponseStreaming(), HoldResponses(), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "held-to-end")
    assert "until the call has ended, 1.0 s in this case" in finding.sentence


async def test_a_slow_release_at_the_end_is_no_buffer(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ResponseStreaming(), TrickleAtTheEnd())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "held-to-end")


async def test_lumps_at_intervals_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ResponseStreaming(), ReleaseInTurns(0.5, requests=False))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "held-in-lumps")
    assert "in lumps every 0.5 s" in finding.sentence


async def test_a_buffer_that_has_to_fill_is_reported_with_its_size(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ResponseStreaming(), HoldResponses(until=40_000))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "held-in-lumps")
    assert "until about 48 KiB" in finding.sentence


async def test_a_server_that_does_not_do_as_asked_is_not_the_path_s_fault(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ResponseStreaming(), HoldResponses(), scripting=False)
    assert finding.outcome is Outcome.INCONCLUSIVE
