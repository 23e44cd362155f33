"""`cancel`, against a hop that keeps resets to itself."""

from collections.abc import Iterable

from echo.probe.checks.cancel import Cancel
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Item, Line
from tests.probe.turning_away import AnswerWithPages, KeepCalls
from tests.support.http2_frames import RST_STREAM, Frame
from tests.support.quiet_clock import QuietClock


class KeepResets(Fault):
    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [] if isinstance(item, Frame) and item.kind == RST_STREAM else [item]


async def test_a_clean_path_survives() -> None:
    assert (await finding_of(Cancel())).outcome is Outcome.SURVIVED


async def test_a_clean_path_survives_without_a_way_around_it() -> None:
    assert (await finding_of(Cancel(), direct=False)).outcome is Outcome.SURVIVED


async def test_a_hop_that_keeps_resets_to_itself_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Cancel(), KeepResets())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "not-forwarded")
    assert "still working on a call 2 s after" in finding.sentence


async def test_without_evidence_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Cancel(), scripting=False)).outcome is Outcome.INCONCLUSIVE


async def test_a_call_that_has_not_reached_the_server_cannot_be_cancelled_there(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Cancel(), KeepCalls())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence == "The server has not seen the call that we wanted to cancel."


async def test_a_way_around_is_recommended_where_there_is_none(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Cancel(), KeepCalls(), direct=False)
    assert finding.sentence == "What the server saw of the call could not be fetched; --direct would help."


async def test_a_call_that_a_hop_turns_away_is_reported_in_words() -> None:
    finding = await finding_of(Cancel(), AnswerWithPages())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.startswith("A call failed, so it could not be checked: UNAVAILABLE (")
