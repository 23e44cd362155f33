"""`keepalive`, against hops that answer pings themselves, keep them to themselves, or complain of them."""

from collections import defaultdict
from collections.abc import Iterable

import pytest
import trio

from echo.probe.budget import Pace
from echo.probe.checks.keepalive import Keepalive
from echo.probe.finding import Outcome
from echo.rpc import Limits
from tests.probe.cutting import (
    CutConnectionsWithoutStreams,
    CutIdleConnections,
    CutOldConnections,
    CutOldStreams,
    CutSilentStreams,
    ForgetIdleConnections,
)
from tests.probe.holding import HoldResponses
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.support.http2_frames import ACK, PING, Frame
from tests.support.quiet_clock import QuietClock

CALM = 11  # ENHANCE_YOUR_CALM


def is_ping(item: Item) -> bool:
    return isinstance(item, Frame) and item.kind == PING and not item.flags & ACK


class SwallowPings(Fault):
    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [] if is_ping(item) else [item]


class LoseOnePing(Fault):
    """Loses the fourth ping of each connection, as a hop that is too busy to answer in time."""

    def __init__(self) -> None:
        self.pings: dict[int, int] = defaultdict(int)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        self.pings[line.number] += is_ping(item)
        return [] if is_ping(item) and self.pings[line.number] == 4 else [item]


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


class CloseOnPings(Complain):
    """Likewise, but without a word."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if not is_ping(item):
            return [item]
        self.early[line.number] += 1
        if self.early[line.number] > 3:
            line.close()
        return [item]


class AnswerThree(Fault):
    """Answers the first three pings of a connection, and no more."""

    def __init__(self) -> None:
        self.count: dict[int, int] = defaultdict(int)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Frame) and is_ping(item):
            self.count[line.number] += 1
            if self.count[line.number] <= 3:
                line.client.send(Frame(PING, ACK, 0, item.payload))
            return []
        return [item]


class PingServer(AnswerPings):
    """Answers pings itself, and sends its own to the server."""

    async def opened(self, line: Line) -> None:
        while True:
            await trio.sleep(1.0)
            line.server.send(Frame(PING, 0, 0, b"of a hop"))

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [] if isinstance(item, Frame) and item.kind == PING and item.payload == b"of a hop" else [item]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives_and_the_server_answers(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(Keepalive(), direct=direct)
    assert finding.outcome is Outcome.SURVIVED
    assert "reach the server" in finding.sentence


@pytest.mark.parametrize("direct", [True, False])
async def test_a_hop_that_answers_is_reported_and_no_fault(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(Keepalive(), AnswerPings(), direct=direct)
    assert finding.outcome is Outcome.SURVIVED
    assert "A hop answers our pings" in finding.sentence


async def test_pings_that_nobody_answers_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Keepalive(), SwallowPings())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "unanswered")
    assert "Nobody answers our pings within 3 s" in finding.sentence


async def test_a_hop_that_complains_of_too_many_pings_is_reported_with_what_it_accepts(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Keepalive(), Complain(1.9))
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "too-many-pings")
    assert (finding.limit, finding.unit) == (30.0, "pings a minute")
    assert "every 1 s, after 4 pings, but tolerates a ping every 2 s" in finding.sentence


async def test_a_hop_that_does_not_accept_our_pings_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Keepalive(), Complain(60.0))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "too-many-pings")


async def test_without_evidence_nobody_is_named(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Keepalive(), scripting=False)).outcome is Outcome.INCONCLUSIVE


async def test_a_hop_that_closes_pinged_connections_without_a_word_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Keepalive(), CloseOnPings(0.0))
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "too-many-pings")


async def test_pings_that_are_no_longer_answered_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(Keepalive(), AnswerThree())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "unanswered")


async def test_pings_of_a_hop_s_own_are_not_taken_for_ours(quiet_clock: QuietClock) -> None:
    permissive = Limits(min_ping_interval=0.0)
    finding = await finding_of(Keepalive(), PingServer(), limits=permissive)
    assert finding.outcome is Outcome.SURVIVED
    assert "A hop answers our pings" in finding.sentence


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        *(CutIdleConnections(0.7, how) for how in ("closed", "silence")),
        *(CutSilentStreams(0.7, how) for how in ("reset", "goaway", "closed", "silence")),
        CutOldStreams(1.5),
        CutOldConnections(1.5, "goaway"),
        CutConnectionsWithoutStreams(0.7),
        ForgetIdleConnections(0.7),
        HoldResponses(until=0),
    ],
)
async def test_what_is_cut_off_for_other_reasons_is_the_business_of_other_checks(
    quiet_clock: QuietClock, fault: Fault, direct: bool
) -> None:
    finding = await finding_of(Keepalive(), fault, direct=direct)
    assert finding.outcome in (Outcome.SURVIVED, Outcome.INCONCLUSIVE)


async def test_one_ping_that_is_lost_is_no_limit(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Keepalive(), LoseOnePing(), idle=12.0, pace=Pace.DEFAULT)).outcome is Outcome.SURVIVED


class LetTwoIn(Fault):
    """Passes the streams of two connections on; the others wait in vain, as behind HAProxy's ``maxconn``."""

    def __init__(self) -> None:
        self.lines: list[int] = []

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        talks = isinstance(item, Head) and str(item.get(":path")).endswith("/BidirectionalStream")
        if talks and line.number not in self.lines:
            self.lines.append(line.number)
            if len(self.lines) > 2:
                line.nursery.start_soon(self._send_away, line)
        return [] if item.stream and line.number in self.lines[2:] else [item]

    async def _send_away(self, line: Line) -> None:
        await trio.sleep(2.0)
        line.close()


async def test_a_connection_on_which_nothing_was_ever_answered_says_nothing_about_pings(
    quiet_clock: QuietClock,
) -> None:
    finding = await finding_of(Keepalive(), LetTwoIn())
    assert finding.outcome is Outcome.SURVIVED
