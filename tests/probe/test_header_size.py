"""`header-size`, against hops that refuse large header lists."""

import re
from collections.abc import Iterable

import pytest

from echo.probe.checks.header_size import HeaderSize
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.probe.turning_away import AnswerWithPages
from tests.support.http2_frames import CANCEL
from tests.support.quiet_clock import QuietClock


def size_of(item: Head) -> int:
    return sum(len(name) + len(value) for name, value in item.fields)


class SwallowLargeRequests(Fault):
    """Sends requests with large heads nowhere."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.refused: set[tuple[int, int]] = set()

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and size_of(item) > self.most:
            self.refused.add((line.number, item.stream))
            self.refuse(line, item)
        return [] if (line.number, item.stream) in self.refused else [item]

    def refuse(self, line: Line, head: Head) -> None:
        pass


class RefuseLargeRequests(SwallowLargeRequests):
    def refuse(self, line: Line, head: Head) -> None:
        line.client.send(Head(head.stream, [(":status", "431"), ("content-type", "text/html")], ends=True))


class RefuseLargeReplies(Fault):
    """Refuses response heads, or trailers."""

    def __init__(self, most: int, *, trailers: bool) -> None:
        self.most, self.trailers = most, trailers
        self.refused: set[tuple[int, int]] = set()

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        key = (line.number, item.stream)
        if key in self.refused:
            return []
        if isinstance(item, Head) and item.ends is self.trailers and size_of(item) > self.most:
            self.refused.add(key)
            line.reset(item.stream, CANCEL, line.client)
            return []
        return [item]


class TakeForIll(RefuseLargeReplies):
    """Sends the server no more calls once it has refused a reply."""

    def __init__(self, most: int) -> None:
        super().__init__(most, trailers=False)
        self.ill = False
        self.open: set[tuple[int, int]] = set()

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        key = (line.number, item.stream)
        if isinstance(item, Head):
            if self.ill:
                line.client.send(Head(item.stream, [(":status", "502"), ("content-type", "text/html")], ends=True))
                return []
            self.open.add(key)
        return [item] if not item.stream or key in self.open else []

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        passed = list(await super().to_client(line, item))
        self.ill = self.ill or not passed
        return passed


class RefuseLargeHeads(RefuseLargeRequests):
    """Refuses heads of requests, and of responses if they are a bit larger than half of that."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.replies = RefuseLargeReplies(most // 2, trailers=False)

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return await self.replies.to_client(line, item)


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    finding = await finding_of(HeaderSize(), direct=direct)
    assert finding.outcome is Outcome.SURVIVED
    assert finding.limit is not None
    assert finding.limit > 14_000


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (RefuseLargeRequests(8_000), "request", "beyond that, HTTP 431 with text/html is the answer"),
        (SwallowLargeRequests(4_000), "request", "beyond that, there is no answer"),
        (RefuseLargeReplies(4_000, trailers=False), "response", "KiB in the headers of a reply; beyond that"),
        (RefuseLargeReplies(4_000, trailers=True), "trailers", "KiB in the trailers of a reply; beyond that"),
    ],
)
async def test_a_limit_is_reported(fault: Fault, cause: str, words: str, quiet_clock: QuietClock) -> None:
    finding = await finding_of(HeaderSize(), fault)
    assert (finding.outcome, finding.cause, finding.unit) == (Outcome.LIMITED, cause, "bytes")
    assert words in finding.sentence
    assert finding.limit is not None
    most = vars(fault)["most"]
    assert most - 900 < finding.limit < most


async def test_limits_of_several_kinds_are_told_together(quiet_clock: QuietClock) -> None:
    finding = await finding_of(HeaderSize(), RefuseLargeHeads(8_000))
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "several")
    assert finding.sentence.startswith("Metadata gets through up to 7")
    assert re.search(r"KiB in a request and up to 3\.\d KiB in the headers of a reply\.$", finding.sentence)


async def test_a_hop_that_then_takes_the_server_for_ill_tells_nothing_of_other_sizes(quiet_clock: QuietClock) -> None:
    finding = await finding_of(HeaderSize(), TakeForIll(5_000))
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "response")
    assert finding.limit == 4_096  # The largest that had got through by then.
    assert (
        "up to some size between 4 KiB and 8 KiB in the headers of a reply; beyond that, calls are reset"
        in finding.sentence
    )


async def test_replies_that_cannot_be_asked_for_are_not_judged() -> None:
    finding = await finding_of(HeaderSize(), scripting=False)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "ECHO_SCRIPTING" in finding.sentence


class TurnAwayLater(AnswerWithPages):
    """Answers calls itself after a few connections, as a limiter of calls does."""

    def turned_away(self, line: Line, head: Head) -> bool:
        return line.number >= 3


async def test_calls_that_are_turned_away_whatever_their_size_are_no_limit(quiet_clock: QuietClock) -> None:
    finding = await finding_of(HeaderSize(), TurnAwayLater())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.startswith("Calls fail now and then, whatever their metadata (HTTP 503 with text/html")
