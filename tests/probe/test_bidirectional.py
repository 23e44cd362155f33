"""`bidirectional`, against hops that let no response pass while the client still sends."""

from collections.abc import Iterable

import pytest

from echo.probe.checks.bidirectional import Bidirectional
from echo.probe.finding import Outcome
from tests.probe.holding import HoldRequests, HoldResponses, HoldResponsesUntilHalfClose
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Item, Line, is_data
from tests.support.http2_frames import CANCEL
from tests.support.quiet_clock import QuietClock


class ResetOnEarlyResponse(Fault):
    """Breaks off what responds before the client has sent everything."""

    def __init__(self) -> None:
        self.complete: set[tuple[int, int]] = set()

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if item.ends:
            self.complete.add((line.number, item.stream))
        return [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if is_data(item) and (line.number, item.stream) not in self.complete:
            line.reset(item.stream, CANCEL)
            return []
        return [item]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    assert (await finding_of(Bidirectional(), direct=direct)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize("direct", [True, False])
async def test_responses_held_back_until_the_client_has_ended_are_reported(
    quiet_clock: QuietClock, direct: bool
) -> None:
    finding = await finding_of(Bidirectional(), HoldResponsesUntilHalfClose(), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "held-to-end")
    assert "until we have sent everything" in finding.sentence


@pytest.mark.parametrize("direct", [True, False])
async def test_a_call_that_is_broken_off_for_an_early_response_is_reported(direct: bool) -> None:
    finding = await finding_of(Bidirectional(), ResetOnEarlyResponse(), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "held-to-end")
    assert "reset a call" in finding.sentence


@pytest.mark.parametrize("fault", [HoldRequests, HoldResponses])
async def test_what_is_held_back_anyway_is_the_business_of_other_checks(
    quiet_clock: QuietClock, fault: type[HoldRequests | HoldResponses]
) -> None:
    assert (await finding_of(Bidirectional(), fault())).outcome is Outcome.INCONCLUSIVE


async def test_without_evidence_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Bidirectional(), HoldResponsesUntilHalfClose(), scripting=False)
    assert finding.outcome is Outcome.INCONCLUSIVE
