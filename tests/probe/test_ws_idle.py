"""`ws-idle`, against hops that cut what is silent, or old."""

from collections.abc import Iterable

import pytest
import trio

from echo.probe.budget import Pace
from echo.probe.checks.ws_idle import WsIdle
from echo.probe.finding import Finding, Outcome
from tests.probe.gateway_paths import finding_of
from tests.probe.web_relays import Bare, WebFault, WebLine
from tests.support.frames import PING, PONG, TEXT
from tests.support.quiet_clock import QuietClock


class CutSilent(WebFault):
    """Closes what has been silent for some seconds."""

    def __init__(self, seconds: float, counts: Iterable[int] = (PING, PONG, TEXT)) -> None:
        self.seconds = seconds
        self.counts = set(counts)
        self.active: dict[int, float] = {}

    def note(self, line: WebLine, frame: Bare) -> None:
        if frame.opcode in self.counts:
            self.active[id(line)] = trio.current_time()

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        self.note(line, frame)
        return [frame]

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        self.note(line, frame)
        return [frame]

    async def opened(self, line: WebLine) -> None:
        self.active[id(line)] = trio.current_time()
        while True:
            left = self.active[id(line)] + self.seconds - trio.current_time()
            if left <= 0:
                break
            await trio.sleep(left)
        self.cut(line)

    def cut(self, line: WebLine) -> None:
        line.close()


class Forget(CutSilent):
    """Forgets what has been silent for some seconds, as a NAT does: neither end hears of it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.forgotten: set[int] = set()

    def cut(self, line: WebLine) -> None:
        self.forgotten.add(id(line))

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [] if id(line) in self.forgotten else await super().to_server(line, frame)

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [] if id(line) in self.forgotten else await super().to_client(line, frame)


class CutOld(WebFault):
    async def opened(self, line: WebLine) -> None:
        await trio.sleep(7.0)
        line.close()


class LosePings(WebFault):
    """Keeps pings and pongs to itself."""

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if frame.opcode == PING:
            return []
        return [frame]


def assert_limited(finding: Finding, cause: str, least: float, most: float) -> None:
    assert (finding.outcome, finding.cause, finding.unit) == (Outcome.LIMITED, cause, "s")
    assert finding.limit is not None
    assert least <= finding.limit <= most


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool, quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsIdle(), direct=direct)
    assert (finding.outcome, finding.limit) == (Outcome.SURVIVED, 10.0)


async def test_a_clean_path_survives_the_default_time_too(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsIdle(), pace=Pace.DEFAULT)
    assert (finding.outcome, finding.limit) == (Outcome.SURVIVED, 125.0)
    assert "the gateway pings it every 27 s" in finding.sentence


async def test_a_cut_is_reported_with_its_second(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsIdle(), CutSilent(6.0))
    assert_limited(finding, "cut", 5.9, 6.2)
    assert "is cut after 6 s (the connection was closed without a close frame); with a ping" in finding.sentence


async def test_a_cut_without_notice_is_reported_between_two_seconds(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsIdle(), Forget(6.0))
    assert_limited(finding, "cut", 5.0, 5.0)
    assert "between 5 and 10 s (nothing came any more" in finding.sentence


async def test_pings_that_do_not_count_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsIdle(), CutSilent(6.0, counts=[TEXT]))
    assert_limited(finding, "pings", 5.9, 6.2)
    assert "does not help, a message does" in finding.sentence


async def test_a_limit_of_age_is_told_apart(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsIdle(), CutOld())
    assert_limited(finding, "age", 6.9, 7.2)
    assert "silence is not the reason" in finding.sentence


async def test_pings_of_the_gateway_that_are_lost_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsIdle(), LosePings(), pace=Pace.DEFAULT)
    assert_limited(finding, "pings", 54.0, 62.0)
    assert "none of the gateway's pings came" in finding.sentence
