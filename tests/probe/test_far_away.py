"""Networks that are slow or far, but sound: nothing is called broken, and the report says what it could not try."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from echo.probe.budget import Pace
from echo.probe.check import Check, Scheduling
from echo.probe.checks.message_size import MessageSize
from echo.probe.checks.reset import Reset
from echo.probe.checks.retries import Retries
from echo.probe.checks.stream_size import StreamSize
from echo.probe.checks.ws_messages import WsMessages
from echo.probe.finding import Finding, Outcome, broken, survived
from echo.probe.line import Line
from echo.probe.path import Path
from echo.probe.report import Report
from echo.probe.survey import Survey
from echo.probe.target import Target
from tests.probe.distance import far_away
from tests.probe.gateway_paths import path_to_a_gateway
from tests.probe.paths import path_through
from tests.probe.test_message_size import LoseLargePackets
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK

KBIT = 1000 / 8
MIB = 2**20


class Waits(Check):
    """Finds that nothing came in time, as often as it is asked."""

    question = "Does it come?"
    needs = ()
    causes = ("lost",)

    def __init__(self, scheduling: Scheduling, *, comes: int = 99) -> None:
        self.name = "waits"  # type: ignore[misc]
        self.scheduling = scheduling  # type: ignore[misc]
        self.tries, self._comes = 0, comes

    async def run(self, path: Path) -> Finding:
        self.tries += 1
        return survived("It came.") if self.tries > self._comes else broken("lost", "Nothing came.", silent=True)


async def surveyed(
    checks: Sequence[Check], *, pace: Pace = Pace.QUICK, seconds: float = 0.0, rate: float = math.inf
) -> Report:
    async with (
        path_through(pace=pace, direct=False) as path,
        far_away(path.target.port, seconds=seconds, rate=rate) as port,
    ):
        return await Survey(replace(path, target=Target(LOOPBACK, port)), checks).run()


def connecting_takes(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect only after so many seconds: the kernel would accept at once, whatever stands behind."""
    connect = Line.connect

    async def from_afar(
        line: Line, alpn: Sequence[str] = ("h2",)
    ) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        await trio.sleep(seconds)
        return await connect(line, alpn)

    monkeypatch.setattr(Line, "connect", from_afar)


@asynccontextmanager
async def far_gateway(seconds: float) -> AsyncIterator[Path]:
    async with path_to_a_gateway(direct=False) as path:
        assert path.gateway is not None
        async with far_away(path.gateway.port, seconds=seconds) as port:
            yield replace(path, gateway=Target(LOOPBACK, port))


@pytest.mark.slow  # 64 KiB a round trip, and each is a turn of the clock.
async def test_over_a_long_way_large_messages_get_through_at_the_default_pace(quiet_clock: QuietClock) -> None:
    (result,) = (await surveyed([MessageSize()], pace=Pace.DEFAULT, seconds=0.05)).results
    assert (result.finding.outcome, result.finding.limit) == (Outcome.SURVIVED, 4 * MIB)


async def test_a_quick_survey_over_a_long_way_has_time_left_after_what_is_too_large_for_it(
    quiet_clock: QuietClock,
) -> None:
    report = await surveyed([MessageSize(), StreamSize(), Reset()], seconds=0.05)
    sizes, streams, reset = report.results
    assert sizes.finding.sentence.startswith("The path is too slow to try 4 MiB with --quick: 1 MiB took ")
    assert streams.finding.sentence == "The path is too slow to carry 8 MiB with --quick."
    assert reset.finding.outcome is Outcome.SURVIVED
    assert report.seconds < 12


class TakesLong(Check):
    """Leaves little time to others."""

    name = "takes-long"
    question = "Does it take long?"
    needs = ()
    causes = ("lost",)
    patience = 15.0
    scheduling = Scheduling.ALONE

    async def run(self, path: Path) -> Finding:
        await trio.sleep(12.0)
        return survived("Yes.")


async def test_a_quick_survey_over_a_long_way_leaves_out_what_is_too_large_for_it_and_no_other(
    quiet_clock: QuietClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting_takes(0.1, monkeypatch)
    report = await surveyed([MessageSize(), StreamSize(), TakesLong(), Retries(), Reset()], seconds=0.05)
    sizes, streams, *others = report.results
    assert [result.finding.outcome for result in others] == [Outcome.SURVIVED] * 3
    assert [sizes.finding.outcome, streams.finding.outcome] == [Outcome.INCONCLUSIVE] * 2
    assert streams.finding.sentence == (
        "There was no time left for it: leave out --quick, or run it by itself (--only stream-size)."
    )


async def test_a_stream_on_a_thin_line_is_not_called_cut(quiet_clock: QuietClock) -> None:
    (result,) = (await surveyed([StreamSize()], pace=Pace.DEFAULT, seconds=0.4, rate=16 * KBIT)).results
    assert result.finding.outcome is Outcome.INCONCLUSIVE


async def test_websocket_messages_on_a_thin_line_are_not_called_limited(quiet_clock: QuietClock) -> None:
    async with far_gateway(seconds=0.6) as path:
        (result,) = (await Survey(path, [WsMessages()]).run()).results
    assert result.finding.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("scheduling", Scheduling)
async def test_where_plain_calls_are_slow_silence_proves_nothing(
    scheduling: Scheduling, quiet_clock: QuietClock
) -> None:
    (result,) = (await surveyed([Waits(scheduling)], pace=Pace.DEFAULT, seconds=0.4)).results
    assert result.finding.outcome is Outcome.INCONCLUSIVE
    assert result.finding.sentence == "The path is too slow to tell, as a plain call took 1.2 s. Seen: Nothing came."
    assert result.finding.details == {"slowest_plain_call": 1.2}
    assert not result.advice


@pytest.mark.parametrize("scheduling", Scheduling)
async def test_where_plain_calls_are_fast_silence_is_a_finding(scheduling: Scheduling, quiet_clock: QuietClock) -> None:
    (result,) = (await surveyed([Waits(scheduling)], seconds=0.1)).results
    assert (result.finding.outcome, result.finding.sentence) == (Outcome.BROKEN, "Nothing came.")


@pytest.mark.parametrize("scheduling", [Scheduling.BESIDE, Scheduling.ALONE, Scheduling.LAST])
async def test_what_did_not_come_in_time_is_tried_again(scheduling: Scheduling, quiet_clock: QuietClock) -> None:
    check = Waits(scheduling, comes=1)
    (result,) = (await surveyed([check])).results
    assert (result.finding.sentence, check.tries) == ("It came, but only on the second try.", 2)


@pytest.mark.parametrize("seconds", [0.0, 0.05])  # Over a long way, sizes are tried after the others.
@pytest.mark.parametrize("scheduling", [Scheduling.ALONE, Scheduling.LAST])
async def test_where_packets_of_full_size_are_lost_silence_proves_nothing(
    scheduling: Scheduling, seconds: float, quiet_clock: QuietClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting_takes(seconds, monkeypatch)
    async with path_through(LoseLargePackets(up=True)) as path:
        sizes, waits = (await Survey(path, [MessageSize(), Waits(scheduling)]).run()).results
    assert (sizes.finding.outcome, waits.finding.outcome) == (Outcome.LIMITED, Outcome.INCONCLUSIVE)
    assert waits.finding.sentence == "Packets of full size are lost, as message-size says. Seen: Nothing came."


class Slow(Waits):
    """Takes ten seconds, which is all that it may."""

    async def run(self, path: Path) -> Finding:
        await trio.sleep(self.patience + 0.5)
        return survived("It came.")


@pytest.mark.parametrize(("seconds", "outcome"), [(0.0, Outcome.INCONCLUSIVE), (0.2, Outcome.SURVIVED)])
async def test_checks_get_more_time_where_connecting_takes_long(
    seconds: float, outcome: Outcome, quiet_clock: QuietClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting_takes(seconds, monkeypatch)
    (result,) = (await surveyed([Slow(Scheduling.BESIDE)], pace=Pace.DEFAULT)).results
    assert result.finding.outcome is outcome
