"""`retries`, against hops that retry calls."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

import pytest

from echo.probe.checks.retries import Retries
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.support.http2_frames import RST_STREAM
from tests.support.quiet_clock import QuietClock


@dataclass
class Streams:
    """One line's streams, which have other numbers towards the server, and what was sent on them."""

    next: int = 1
    there: dict[int, int] = field(default_factory=dict)
    back: dict[int, int] = field(default_factory=dict)
    sent: dict[int, list[Item]] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)

    def open(self, stream: int) -> None:
        self.there[stream], self.back[self.next] = self.next, stream
        self.next += 2


class Repeat(Fault):
    """Makes a call again that ends with one of these statuses at once, or is reset."""

    def __init__(self, statuses: Collection[str], *, resets: Collection[int] = (), attempts: int = 3) -> None:
        self.statuses, self.resets, self.attempts = statuses, resets, attempts
        self.lines: dict[int, Streams] = {}

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        streams = self.lines.setdefault(line.number, Streams())
        if not item.stream:
            return [item]
        if isinstance(item, Head):
            streams.open(item.stream)
        streams.sent.setdefault(item.stream, []).append(item)
        return [replace(item, stream=streams.there[item.stream])]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        streams = self.lines.setdefault(line.number, Streams())
        if not item.stream:
            return [item]
        stream = streams.back.get(item.stream)
        if stream is None:
            return []
        if self.is_failure(item) and streams.tries.setdefault(stream, 1) < self.attempts:
            streams.tries[stream] += 1
            del streams.back[item.stream]
            streams.open(stream)
            line.server.send(*(replace(one, stream=streams.there[stream]) for one in streams.sent[stream]))
            return []
        return [replace(item, stream=stream)]

    def is_failure(self, item: Item) -> bool:
        if isinstance(item, Head):
            return item.get(":status") is not None and item.get("grpc-status") in self.statuses
        return item.kind == RST_STREAM and item.error_code in self.resets


class Renumber(Repeat):
    """Repeats nothing, but has all of the above to do."""

    def __init__(self) -> None:
        super().__init__([])


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("fault", [Fault, Renumber])
async def test_a_clean_path_survives(fault: type[Fault], direct: bool) -> None:
    assert (await finding_of(Retries(), fault(), direct=direct)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (lambda: Repeat(["14"]), "retried", "rejected (UNAVAILABLE): it saw one up to 3 times"),
        (lambda: Repeat(["8"], attempts=2), "retried", "(RESOURCE_EXHAUSTED): it saw one up to 2 times"),
        (
            lambda: Repeat(["14", "13", "1"]),
            "retried-unsafe",
            "one that ended with INTERNAL or CANCELLED reached the server 3 times",
        ),
        (
            lambda: Repeat([], resets=[2], attempts=2),
            "retried-unsafe",
            "one that was reset reached the server 2 times",
        ),
    ],
)
async def test_repeated_calls_are_reported(fault: Callable[[], Fault], cause: str, words: str, direct: bool) -> None:
    finding = await finding_of(Retries(), fault(), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, cause)
    assert words in finding.sentence


async def test_without_evidence_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Retries(), scripting=False)).outcome is Outcome.INCONCLUSIVE
