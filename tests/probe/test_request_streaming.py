"""`request-streaming`, against hops that hold messages back."""

import pytest

from echo.probe.checks.request_streaming import RequestStreaming
from echo.probe.finding import Outcome
from tests.probe.holding import HoldRequests, ReleaseInTurns
from tests.probe.paths import finding_of
from tests.support.quiet_clock import QuietClock


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(quiet_clock: QuietClock, direct: bool) -> None:
    assert (await finding_of(RequestStreaming(), direct=direct)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize("direct", [True, False])
async def test_messages_held_back_to_the_end_are_reported(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(RequestStreaming(), HoldRequests(), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "held-to-end")
    assert "until we have sent the last one, 1.2 s in this case" in finding.sentence


async def test_lumps_at_intervals_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(RequestStreaming(), ReleaseInTurns(0.5, requests=True))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "held-in-lumps")
    assert "in lumps every 0.5 s" in finding.sentence


async def test_a_buffer_that_has_to_fill_is_reported_with_its_size(quiet_clock: QuietClock) -> None:
    finding = await finding_of(RequestStreaming(), HoldRequests(until=40_000))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "held-in-lumps")
    assert "until about 48 KiB" in finding.sentence


async def test_without_evidence_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(RequestStreaming(), scripting=False)).outcome is Outcome.INCONCLUSIVE
