"""`drain`, against hops that mishandle a draining server."""

from collections.abc import Iterable

import pytest

from echo.probe.checks.drain import Drain
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.probe.turning_away import AnswerWithPages
from tests.support.http2_frames import GOAWAY, REFUSED_STREAM, Frame
from tests.support.quiet_clock import QuietClock


def is_goaway(item: Item) -> bool:
    return isinstance(item, Frame) and item.kind == GOAWAY


class CloseOnGoaway(Fault):
    """Takes the announcement for the end."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if is_goaway(item):
            line.close()
        return [item]


class ResetOnGoaway(Fault):
    """Gives up the calls of a connection that is being drained."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if is_goaway(item):
            for stream in (1, 3):
                line.reset(stream, REFUSED_STREAM)
        return [item]


class KeepGoaway(Fault):
    """Goes on sending calls to where nobody takes them."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [] if is_goaway(item) else [item]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool, quiet_clock: QuietClock) -> None:
    finding = await finding_of(Drain(), direct=direct)
    assert finding.outcome is Outcome.SURVIVED
    calls = finding.details["new_calls"]
    assert isinstance(calls, int)
    assert calls > 10


@pytest.mark.parametrize("fault", [CloseOnGoaway(), ResetOnGoaway()])
async def test_a_lost_call_is_reported(fault: Fault, quiet_clock: QuietClock) -> None:
    finding = await finding_of(Drain(), fault)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "call-lost")
    assert "2 of 2 running calls were lost" in finding.sentence


async def test_new_calls_that_fail_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Drain(), KeepGoaway())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "new-calls-fail")
    assert "new calls failed while a server was about to stop" in finding.sentence


async def test_without_a_script_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Drain(), scripting=False)).outcome is Outcome.INCONCLUSIVE


class TurnAwayNowAndThen(AnswerWithPages):
    """Answers every third call of a connection itself."""

    def turned_away(self, line: Line, head: Head) -> bool:
        return head.stream % 6 == 5


async def test_new_calls_that_fail_anyway_are_not_lost_to_the_drain(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Drain(), TurnAwayNowAndThen())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.startswith("Calls fail even while no server is about to stop: ")
