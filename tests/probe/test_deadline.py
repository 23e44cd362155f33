"""`deadline`, against hops that lose, change, cap and add deadlines."""

from collections.abc import Callable, Iterable

import pytest

from echo.probe.checks.deadline import Deadline
from echo.probe.finding import Outcome
from echo.wire import decode_timeout
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.probe.turning_away import AnswerWithPages


class SetDeadlines(Fault):
    """Sets another deadline than the client's; None for none."""

    def __init__(self, change: Callable[[float | None], float | None]) -> None:
        self.change = change

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if not isinstance(item, Head):
            return [item]
        told = item.get("grpc-timeout")
        seconds = self.change(None if told is None else decode_timeout(told.encode()))
        head = item.without("grpc-timeout")
        return [head if seconds is None else head.adding("grpc-timeout", f"{round(seconds * 1000)}m")]


def lose_deadlines() -> Fault:
    return SetDeadlines(lambda _: None)


def cap_deadlines() -> Fault:
    return SetDeadlines(lambda asked: asked and min(asked, 15.0))


def lengthen_deadlines() -> Fault:
    return SetDeadlines(lambda asked: asked and asked * 2)


def shorten_deadlines() -> Fault:
    return SetDeadlines(lambda asked: asked and asked / 2)


def add_deadlines() -> Fault:
    return SetDeadlines(lambda asked: asked or 15.0)


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    assert (await finding_of(Deadline(), direct=direct)).outcome is Outcome.SURVIVED


async def test_a_hop_that_takes_a_bit_of_each_deadline_for_its_own_work_is_no_fault() -> None:
    fault = SetDeadlines(lambda asked: asked and asked - 0.2)
    assert (await finding_of(Deadline(), fault)).outcome is Outcome.SURVIVED


async def test_lost_deadlines_are_reported() -> None:
    finding = await finding_of(Deadline(), lose_deadlines())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "missing")
    assert "not told the deadline of any of our calls" in finding.sentence


async def test_a_cap_is_reported_with_its_number() -> None:
    finding = await finding_of(Deadline(), cap_deadlines())
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "changed")
    assert (finding.limit, finding.unit) == (15.0, "s")
    assert "limits every call to 15 s" in finding.sentence


async def test_longer_deadlines_are_reported() -> None:
    finding = await finding_of(Deadline(), lengthen_deadlines())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "changed")
    assert "10 s instead of 5 s" in finding.sentence


async def test_shorter_deadlines_are_reported() -> None:
    finding = await finding_of(Deadline(), shorten_deadlines())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "changed")
    assert "1800 s instead of 3600 s" in finding.sentence


async def test_a_deadline_that_is_added_is_reported() -> None:
    finding = await finding_of(Deadline(), add_deadlines())
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "changed")
    assert "sets a deadline of 15 s on calls that have none" in finding.sentence


async def test_without_evidence_nothing_is_claimed() -> None:
    assert (await finding_of(Deadline(), scripting=False)).outcome is Outcome.INCONCLUSIVE


async def test_calls_that_a_hop_answers_itself_are_told_as_the_reason() -> None:
    finding = await finding_of(Deadline(), AnswerWithPages())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence == "A plain call ended with HTTP 503 with text/html, so this could not be checked."
