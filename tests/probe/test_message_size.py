"""`message-size`, against hops that take only so much of a message."""

import re
from collections import Counter
from collections.abc import Iterable

import pytest

from echo.probe.budget import Pace
from echo.probe.check import Check
from echo.probe.checks.compression import Compression
from echo.probe.checks.early_end import EarlyEnd
from echo.probe.checks.message_size import MessageSize
from echo.probe.finding import Outcome
from echo.probe.survey import Survey
from echo.rpc import Limits, Server
from echo.services import echo_services
from tests.probe.holding import ReleaseInTurns
from tests.probe.paths import finding_of, path_through
from tests.probe.relays import Fault, Head, Item, Line, is_data
from tests.support.http2_frames import CANCEL, Frame
from tests.support.quiet_clock import QuietClock

KIB, MIB = 1024, 1024 * 1024


class Messages:
    """Takes DATA apart: tells a stream's largest message, from its prefix."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[int, int], bytearray] = {}
        self._skip: Counter[tuple[int, int]] = Counter()

    def largest(self, line: Line, item: Frame) -> int:
        key, sizes = (line.number, item.stream), [0]
        buffer = self._buffers.setdefault(key, bytearray())
        buffer += item.payload
        while True:
            skipped = min(len(buffer), self._skip[key])
            del buffer[:skipped]
            self._skip[key] -= skipped
            if len(buffer) < 5:
                return max(sizes)
            sizes.append(int.from_bytes(buffer[1:5], "big"))
            self._skip[key] = 5 + sizes[-1]


class RefuseLargeMessages(Fault):
    """Answers a request whose message is large as a hop does that reads it whole; resets such a reply."""

    def __init__(self, most: int, *, up: bool) -> None:
        self.most, self.up = most, up
        self.messages = Messages()
        self.refused: set[tuple[int, int]] = set()

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        key = (line.number, item.stream)
        if key in self.refused:
            return []
        if self.up and isinstance(item, Frame) and is_data(item) and self.messages.largest(line, item) > self.most:
            self.refused.add(key)
            line.client.send(Head(item.stream, [(":status", "413"), ("content-type", "text/html")], ends=True))
            line.reset(item.stream, CANCEL, line.server)
            line.absorb(line.client, Frame(item.kind, item.flags, 0, item.payload))
            return []
        return [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        key = (line.number, item.stream)
        if key in self.refused and item.stream:
            return []
        if not self.up and isinstance(item, Frame) and is_data(item) and self.messages.largest(line, item) > self.most:
            self.refused.add(key)
            line.reset(item.stream, CANCEL)
            return []
        return [item]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    finding = await finding_of(MessageSize(), direct=direct)
    assert (finding.outcome, finding.limit) == (Outcome.SURVIVED, 4 * MIB)


@pytest.mark.parametrize(
    ("up", "words"), [(True, "Messages to the server get through up to 1"), (False, "Messages from the server get thr")]
)
async def test_a_limit_is_reported(up: bool, words: str, quiet_clock: QuietClock) -> None:
    finding = await finding_of(MessageSize(), RefuseLargeMessages(1 * MIB, up=up))
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "request" if up else "response")
    assert words in finding.sentence
    assert ("413" in finding.sentence) is up
    assert finding.limit == pytest.approx(1 * MIB, rel=0.02)
    assert finding.limit is not None
    assert finding.limit <= 1 * MIB


async def test_what_cannot_be_asked_for_is_not_judged() -> None:
    finding = await finding_of(MessageSize(), scripting=False)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "is ECHO_SCRIPTING off" in finding.sentence


async def test_a_slow_path_does_not_count_as_refusing_large_messages(quiet_clock: QuietClock) -> None:
    finding = await finding_of(MessageSize(), ReleaseInTurns(0.5, requests=True))
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert re.match(r"The path is too slow to try 4 MiB with --quick: 32 KiB took \d\.\d s\.$", finding.sentence)


async def test_the_server_s_own_limit_is_not_the_path_s() -> None:
    services = echo_services(max_message_size=1 * MIB).services
    async with path_through(server=Server(services, limits=Limits(max_message_size=1 * MIB))) as path:
        (result,) = (await Survey(path, [MessageSize()]).run()).results
    assert result.finding.outcome is Outcome.SURVIVED
    assert "the server's own limit" in result.finding.sentence
    assert result.finding.limit == pytest.approx(1 * MIB, rel=0.02)


class LoseLargePackets(Fault):
    """Loses packets of full size, as behind a tunnel that may not say so; what follows waits for them in vain."""

    def __init__(self, *, up: bool) -> None:
        self.up = up
        self.stuck: set[int] = set()

    def goes_on(self, line: Line, item: Item) -> bool:
        if isinstance(item, Frame) and len(item.payload) > 1300:
            self.stuck.add(line.number)
        return line.number not in self.stuck

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [item] if not self.up or self.goes_on(line, item) else []

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [item] if self.up or self.goes_on(line, item) else []


@pytest.mark.parametrize("pace", [Pace.QUICK, Pace.DEFAULT])
@pytest.mark.parametrize(("up", "words"), [(True, "Messages to the server"), (False, "Messages from the server")])
async def test_a_way_that_loses_packets_of_full_size_is_named(
    up: bool, words: str, pace: Pace, quiet_clock: QuietClock
) -> None:
    finding = await finding_of(MessageSize(), LoseLargePackets(up=up), pace=pace)
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "packets")
    assert finding.sentence.startswith(f"{words} arrive only if they fit into one packet: ")


@pytest.mark.parametrize("check", [EarlyEnd(), Compression()])
@pytest.mark.parametrize("up", [True, False])
async def test_nothing_else_is_blamed_where_packets_of_full_size_are_lost(
    check: Check, up: bool, quiet_clock: QuietClock
) -> None:
    assert (await finding_of(check, LoseLargePackets(up=up))).outcome in (Outcome.INCONCLUSIVE, Outcome.SURVIVED)
