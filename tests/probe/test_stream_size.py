"""`stream-size`, against hops that carry only so much of a stream."""

from collections import Counter
from collections.abc import Iterable

import pytest

from echo.probe.checks.stream_size import MESSAGE, StreamSize
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Item, Line, is_data
from tests.support.http2_frames import CANCEL, Frame
from tests.support.quiet_clock import QuietClock

MIB = 1024 * 1024


class CutStreams(Fault):
    """Resets a stream that carries more than so much, or lets it stall."""

    def __init__(self, most: int, *, up: bool, reset: bool = True) -> None:
        self.most, self.up, self.reset = most, up, reset
        self.carried: Counter[tuple[int, int]] = Counter()

    def goes_on(self, line: Line, item: Item) -> bool:
        if not isinstance(item, Frame) or not is_data(item):
            return True
        key = (line.number, item.stream)
        before = self.carried[key]
        self.carried[key] += len(item.payload)
        if self.carried[key] <= self.most:
            return True
        if before <= self.most and self.reset:
            line.reset(item.stream, CANCEL)
        return False

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [item] if not self.up or self.goes_on(line, item) else []

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [item] if self.up or self.goes_on(line, item) else []


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    finding = await finding_of(StreamSize(), direct=direct)
    assert (finding.outcome, finding.limit) == (Outcome.SURVIVED, 8 * MIB)


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (CutStreams(2 * MIB, up=True), "request", "A stream to the server was cut after 2 MiB of 8 MiB: "),
        (CutStreams(2 * MIB, up=False), "response", "A stream from the server was cut after 2 MiB of 8 MiB: "),
        (CutStreams(2 * MIB, up=True, reset=False), "request", "nothing moved for 1.8 s"),
        (CutStreams(2 * MIB, up=False, reset=False), "response", "nothing moved for 1.8 s"),
    ],
)
async def test_a_cut_stream_is_reported(fault: Fault, cause: str, words: str, quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamSize(), fault)
    assert (finding.outcome, finding.cause, finding.unit) == (Outcome.LIMITED, cause, "bytes")
    assert words in finding.sentence
    assert finding.limit == pytest.approx(2 * MIB, abs=4 * MESSAGE)


async def test_without_a_script_nothing_is_claimed() -> None:
    assert (await finding_of(StreamSize(), scripting=False)).outcome is Outcome.INCONCLUSIVE


class HoldAndRefuse(CutStreams):
    """Holds a stream back, to refuse it once there is more than it will hold."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        held = self.held.setdefault((line.number, item.stream), [])
        if not item.stream or not self.goes_on(line, item):
            return [] if item.stream else [item]
        held.append(item)
        if isinstance(item, Frame) and is_data(item):
            line.absorb(line.client, item)
        return self.held.pop((line.number, item.stream)) if item.ends else []

    def __init__(self, most: int) -> None:
        super().__init__(most, up=True)
        self.held: dict[tuple[int, int], list[Item]] = {}


async def test_a_stream_of_which_nothing_arrives_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamSize(), HoldAndRefuse(2 * MIB))
    assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, "request", None)
    assert finding.sentence.startswith("Nothing of 8 MiB arrived on a stream to the server: ")
