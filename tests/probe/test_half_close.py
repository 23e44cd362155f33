"""`half-close`, against hops that keep the client's end to themselves, or end the call with it."""

from collections.abc import Iterable

import pytest

from echo.probe.checks.half_close import HalfClose
from echo.probe.finding import Outcome
from tests.probe.holding import HoldRequests, HoldResponses, HoldResponsesUntilHalfClose
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line, is_data
from tests.support.http2_frames import CANCEL, END_STREAM, Frame
from tests.support.quiet_clock import QuietClock

STREAMS = "/com.gopay.echo.streaming.StreamingServer/"


class KeepEnds(Fault):
    """Does not pass on that a client has sent everything: with its last message, or by itself."""

    def __init__(self, *, empty: bool) -> None:
        self.empty = empty

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Frame) and is_data(item) and item.ends and self.empty == (not item.payload):
            return [Frame(item.kind, item.flags & ~END_STREAM, item.stream, item.payload)] if item.payload else []
        return [item]


class EndCallAtHalfClose(Fault):
    """Breaks off a streaming call a moment after the client has sent everything."""

    def __init__(self) -> None:
        self.streams: set[tuple[int, int]] = set()
        self.complete: set[tuple[int, int]] = set()

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and (item.get(":path") or "").endswith("/BidirectionalStream"):
            self.streams.add((line.number, item.stream))
        if item.ends and (line.number, item.stream) in self.streams:
            self.complete.add((line.number, item.stream))
        return [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if is_data(item) and (line.number, item.stream) in self.complete:
            line.reset(item.stream, CANCEL)
            return []
        return [item]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(quiet_clock: QuietClock, direct: bool) -> None:
    assert (await finding_of(HalfClose(), direct=direct)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize("empty", [True, False])
async def test_an_end_that_the_server_does_not_learn_of_is_reported(quiet_clock: QuietClock, empty: bool) -> None:
    finding = await finding_of(HalfClose(), KeepEnds(empty=empty))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "not-seen")
    assert "never told that we have sent everything" in finding.sentence


@pytest.mark.parametrize("direct", [True, False])
async def test_a_call_that_ends_with_our_end_is_reported(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(HalfClose(), EndCallAtHalfClose(), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "reset")
    assert "resets a call when we have sent everything" in finding.sentence


@pytest.mark.parametrize("fault", [HoldRequests, HoldResponses, HoldResponsesUntilHalfClose])
async def test_what_is_held_back_is_the_business_of_other_checks(
    quiet_clock: QuietClock, fault: type[HoldRequests | HoldResponses]
) -> None:
    assert (await finding_of(HalfClose(), fault())).outcome is Outcome.SURVIVED


async def test_without_evidence_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(HalfClose(), KeepEnds(empty=True), scripting=False)).outcome is Outcome.INCONCLUSIVE
