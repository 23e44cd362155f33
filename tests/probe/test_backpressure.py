"""`backpressure`, against hops that take all they are given, or give up a call whose reader pauses."""

from collections import defaultdict
from collections.abc import Iterable

import pytest
import trio

from echo.probe.budget import Pace
from echo.probe.checks.backpressure import Backpressure
from echo.probe.finding import Outcome
from tests.probe.cutting import CutSilentStreams
from tests.probe.holding import BufferRequests, BufferResponses, HoldRequests, HoldResponses
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Item, Line
from tests.probe.turning_away import AnswerWithPages, TurnAwayOddLines
from tests.support.http2_frames import CANCEL, DATA, Frame
from tests.support.quiet_clock import QuietClock


class CutSlowReaders(Fault):
    """Breaks off a stream on which a lot has come, and nothing more for some seconds."""

    def __init__(self, seconds: float, *, lot: int = 512 * 1024, requests: bool = False) -> None:
        self.seconds, self.lot, self.requests = seconds, lot, requests
        self.came: dict[tuple[int, int], int] = defaultdict(int)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return self._seen(line, item) if self.requests else [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [item] if self.requests else self._seen(line, item)

    def _seen(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Frame) and item.kind == DATA:
            key = (line.number, item.stream)
            self.came[key] += len(item.payload)
            if self.came[key] >= self.lot:
                line.nursery.start_soon(self._watch, line, item.stream, self.came[key])
        return [item]

    async def _watch(self, line: Line, stream: int, before: int) -> None:
        await trio.sleep(self.seconds)
        if self.came[line.number, stream] == before:
            line.reset(stream, CANCEL)


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(Backpressure(), direct=direct)
    assert finding.outcome is Outcome.SURVIVED


async def test_responses_that_are_buffered_without_end_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Backpressure(), BufferResponses())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "buffered")
    assert "When we stop reading, the path still takes 23.0 MiB" in finding.sentence


class BufferOnce(BufferResponses):
    """Buffers responses on the first two connections alone, as if by chance."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return await super().to_server(line, item) if line.number < 2 else [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return await super().to_client(line, item) if line.number < 2 else [item]


async def test_what_is_buffered_by_chance_alone_is_not_held_against_the_path(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Backpressure(), BufferOnce())).outcome is Outcome.SURVIVED


async def test_requests_that_are_buffered_without_end_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Backpressure(), BufferRequests())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "buffered")
    assert "When the server stops reading, the path still takes 2" in finding.sentence


async def test_a_call_that_is_broken_off_for_its_reader_s_pause_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Backpressure(), CutSlowReaders(0.5))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "cut")
    assert "When we stop reading, the path cuts off the call after 0.5 s" in finding.sentence


@pytest.mark.parametrize("requests", [True, False])
async def test_a_longer_pause_is_tried_where_there_is_time(quiet_clock: QuietClock, requests: bool) -> None:
    fault = CutSlowReaders(5.0, lot=32 * 1024, requests=requests)
    finding = await finding_of(Backpressure(), fault, pace=Pace.DEFAULT)
    assert (finding.outcome, finding.cause, finding.limit, finding.unit) == (Outcome.BROKEN, "cut", 5.0, "s")
    assert ("the server stops reading" if requests else "we stop reading") in finding.sentence


async def test_silent_calls_that_are_cut_off_are_the_business_of_another_check(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Backpressure(), CutSilentStreams(0.5))).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("fault", [HoldRequests, HoldResponses])
async def test_what_is_held_back_anyway_is_the_business_of_other_checks(
    quiet_clock: QuietClock, fault: type[HoldRequests | HoldResponses]
) -> None:
    finding = await finding_of(Backpressure(), fault())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "direct" not in finding.sentence
    assert "silent" not in finding.sentence


async def test_without_evidence_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Backpressure(), BufferResponses(), scripting=False)).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("fault", [AnswerWithPages, TurnAwayOddLines])
async def test_calls_that_a_hop_answers_itself_are_not_cut_off_for_a_pause(
    quiet_clock: QuietClock, fault: type[AnswerWithPages]
) -> None:
    finding = await finding_of(Backpressure(), fault())
    assert finding.outcome in (Outcome.INCONCLUSIVE, Outcome.SURVIVED)  # Survived if the odd lines were for evidence.
