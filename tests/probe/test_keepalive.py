"""`keepalive`, against hops that answer pings themselves, keep them to themselves, or complain of them."""

from collections import defaultdict
from collections.abc import Iterable

import pytest
import trio

from echo.probe.checks.keepalive import Keepalive
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Item, Line
from tests.support.http2_frames import ACK, PING, Frame
from tests.support.quiet_clock import QuietClock

CALM = 11  # ENHANCE_YOUR_CALM


def is_ping(item: Item) -> bool:
    return isinstance(item, Frame) and item.kind == PING and not item.flags & ACK


class SwallowPings(Fault):
    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [] if is_ping(item) else [item]


class AnswerPings(Fault):
    """Answers pings itself."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Frame) and is_ping(item):
            line.client.send(Frame(PING, ACK, 0, item.payload))
            return []
        return [item]


class Complain(Fault):
    """Closes a connection at the third ping in a row that came too early."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.last: dict[int, float] = {}
        self.early: dict[int, int] = defaultdict(int)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if is_ping(item):
            now = trio.current_time()
            early = now - self.last.get(line.number, -1e9) < self.interval
            self.early[line.number] = self.early[line.number] + 1 if early else 0
            self.last[line.number] = now
            if self.early[line.number] >= 3:
                line.goaway(2**31 - 1, CALM, b"too_many_pings")
                await trio.sleep(0.1)
                line.close()
        return [item]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives_and_the_server_answers(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(Keepalive(), direct=direct)
    assert finding.outcome is Outcome.SURVIVED
    assert "reach the server" in finding.sentence


@pytest.mark.parametrize("direct", [True, False])
async def test_a_hop_that_answers_is_reported_and_no_fault(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(Keepalive(), AnswerPings(), direct=direct)
    assert finding.outcome is Outcome.SURVIVED
    assert "answered by a hop" in finding.sentence


async def test_pings_that_nobody_answers_are_told(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Keepalive(), SwallowPings())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "unanswered")
    assert "Nobody answers our pings within 3 s" in finding.sentence


async def test_a_hop_that_complains_of_too_many_pings_is_told_with_what_it_bears(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Keepalive(), Complain(1.9))
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "too-many-pings")
    assert (finding.limit, finding.unit) == (30.0, "pings a minute")
    assert "every 1 s, but bears it every 2 s" in finding.sentence


async def test_a_hop_that_bears_no_pings_of_ours_is_told(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Keepalive(), Complain(60.0))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "too-many-pings")


async def test_without_evidence_nobody_is_named(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Keepalive(), scripting=False)).outcome is Outcome.INCONCLUSIVE
