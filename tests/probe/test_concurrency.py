"""`concurrency`, against hops that let few calls run at once."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import pytest

from echo.probe.checks.concurrency import Concurrency
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.probe.turning_away import AnswerWithPages, LeaveAfter
from tests.support.http2_frames import MAX_CONCURRENT_STREAMS, REFUSED_STREAM, RST_STREAM, SETTINGS, Frame
from tests.support.quiet_clock import QuietClock


class Announce(Fault):
    """Announces that it takes few calls at once."""

    def __init__(self, most: int) -> None:
        self.most = most

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Frame) and item.kind == SETTINGS and not item.flags:
            more = MAX_CONCURRENT_STREAMS.to_bytes(2, "big") + self.most.to_bytes(4, "big")
            return [Frame(item.kind, 0, 0, item.payload + more)]
        return [item]


class Queue(Fault):
    """Lets few calls through to the server at once; the others wait, for their turn or forever."""

    def __init__(self, most: int, *, turns: bool = True) -> None:
        self.most, self.turns = most, turns
        self.running: dict[int, set[int]] = defaultdict(set)
        self.waiting: dict[int, dict[int, list[Item]]] = defaultdict(dict)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        running, waiting = self.running[line.number], self.waiting[line.number]
        if not item.stream:
            return [item]
        if isinstance(item, Head):
            if len(running) >= self.most or waiting:
                return self.held(line, item)
            running.add(item.stream)
        elif item.stream in waiting:
            waiting[item.stream].append(item)
            return []
        elif item.kind == RST_STREAM:
            return [item, *self.ended(line, item.stream)]
        return [item]

    def held(self, line: Line, head: Head) -> list[Item]:
        self.waiting[line.number][head.stream] = [head]
        return []

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if item.stream and (item.ends or (isinstance(item, Frame) and item.kind == RST_STREAM)):
            line.server.send(*self.ended(line, item.stream))
        return [item]

    def ended(self, line: Line, stream: int) -> list[Item]:
        running, waiting = self.running[line.number], self.waiting[line.number]
        running.discard(stream)
        if not self.turns or not waiting:
            return []
        turn = min(waiting)
        running.add(turn)
        return waiting.pop(turn)


class Refuse(Queue):
    """Refuses the others."""

    def held(self, line: Line, head: Head) -> list[Item]:
        line.reset(head.stream, REFUSED_STREAM, line.client)
        return []

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if item.stream and not isinstance(item, Head) and item.stream not in self.running[line.number]:
            return []
        return await super().to_server(line, item)


class PagesForTheSurplus(AnswerWithPages):
    """Lets a few calls of each connection through, and answers the others itself."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def turned_away(self, line: Line, head: Head) -> bool:
        return head.stream > 2 * self.most


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    finding = await finding_of(Concurrency(), direct=direct)
    assert (finding.outcome, finding.limit, finding.unit) == (Outcome.SURVIVED, 100, "calls")


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (lambda: Announce(10), "limited", "allows 10 calls at once on one connection, while the server allows 100"),
        (lambda: Queue(10), "stalls", "10 were answered; the others had to wait until those had ended"),
        (lambda: Queue(10, turns=False), "stalls", "10 were answered; the others were left hanging"),
        (lambda: Refuse(10), "limited", "10 were answered; the others were refused"),
        (lambda: LeaveAfter(10), "left", "10 were answered; the path then asked us to leave the connection"),
        (lambda: PagesForTheSurplus(10), "limited", "10 were answered; the others were refused"),
    ],
)
async def test_a_limit_is_reported(fault: Callable[[], Fault], cause: str, words: str, quiet_clock: QuietClock) -> None:
    finding = await finding_of(Concurrency(), fault())
    assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, cause, 10)
    assert words in finding.sentence


async def test_a_single_answered_call_is_told_in_the_singular(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Concurrency(), Refuse(1))
    assert "1 was answered; the others were refused" in finding.sentence
