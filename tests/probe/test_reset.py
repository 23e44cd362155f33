"""`reset`, against hops that change the server's reasons, or drop them."""

from collections.abc import Iterable

import pytest

from echo.probe.checks.reset import Reset
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.support.http2_frames import CANCEL, RST_STREAM, Frame
from tests.support.quiet_clock import QuietClock


class ResetByCancel(Fault):
    """Gives CANCEL for every reason."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Frame) and item.kind == RST_STREAM and item.error_code:
            line.reset(item.stream, CANCEL, line.client)
            return []
        return [item]


class ResetByStatus(Fault):
    """Says UNAVAILABLE for every reason."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Frame) and item.kind == RST_STREAM and item.error_code:
            return [Head(item.stream, [("grpc-status", "14"), ("grpc-message", "upstream reset")], ends=True)]
        return [item]


class EndForReset(Fault):
    """Ends the response instead, as if nothing had happened."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Frame) and item.kind == RST_STREAM and item.error_code:
            line.data(line.client, item.stream, b"", end=True)
            return []
        return [item]


class SwallowResets(Fault):
    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [] if isinstance(item, Frame) and item.kind == RST_STREAM else [item]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    assert (await finding_of(Reset(), direct=direct)).outcome is Outcome.SURVIVED


async def test_another_reason_is_reported() -> None:
    finding = await finding_of(Reset(), ResetByCancel())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "rewritten")
    assert "in 4 of 5 cases" in finding.sentence
    assert "INTERNAL became CANCELLED" in finding.sentence


async def test_a_status_of_another_meaning_is_reported() -> None:
    finding = await finding_of(Reset(), ResetByStatus())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "rewritten")
    assert "INTERNAL became UNAVAILABLE" in finding.sentence


async def test_a_response_that_just_stops_is_reported() -> None:
    finding = await finding_of(Reset(), EndForReset())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "rewritten")
    assert "just ended, without a reason" in finding.sentence


async def test_a_call_left_hanging_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Reset(), SwallowResets())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "rewritten")
    assert "left waiting" in finding.sentence


async def test_without_evidence_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Reset(), scripting=False)).outcome is Outcome.INCONCLUSIVE
