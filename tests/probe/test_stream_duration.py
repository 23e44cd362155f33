"""`stream-duration`, against hops that cut off what is old, and against others that do not."""

from collections.abc import Iterable

import pytest
import trio

from echo.probe.checks.stream_duration import StreamDuration
from echo.probe.finding import Outcome
from tests.probe.cutting import (
    CutIdleConnections,
    CutOldConnections,
    CutOldStreams,
    CutSilentStreams,
    CutStreamsOldSinceHalfClose,
    How,
    Reload,
)
from tests.probe.holding import HoldRequests, HoldResponses
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.support.http2_frames import CANCEL
from tests.support.quiet_clock import QuietClock

IDLE = 6.0


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(StreamDuration(), idle=IDLE, direct=direct)
    assert (finding.outcome, finding.limit, finding.unit) == (Outcome.SURVIVED, IDLE, "s")


async def test_calls_that_the_server_ends_sooner_than_asked_are_not_said_to_stay_open(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamDuration(), idle=IDLE, scripting=False)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "is ECHO_SCRIPTING off" in finding.sentence


@pytest.mark.parametrize("how", ["reset", "goaway", "closed", "silence"])
async def test_old_streams_that_are_cut_off_are_reported(quiet_clock: QuietClock, how: How) -> None:
    finding = await finding_of(StreamDuration(), CutOldStreams(3.0, how), idle=IDLE)
    assert (finding.outcome, finding.cause, finding.unit) == (Outcome.LIMITED, "cut", "s")
    assert finding.limit == pytest.approx(3.0, abs=0.41)
    assert "although messages flow on it" in finding.sentence


async def test_streams_that_are_cut_off_only_once_the_client_has_ended_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamDuration(), CutStreamsOldSinceHalfClose(3.0), idle=IDLE)
    assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, "response-cut", 3.0)
    assert "after 3.0 s once we have sent everything" in finding.sentence


async def test_old_connections_that_are_closed_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamDuration(), CutOldConnections(3.0, "closed"), idle=IDLE)
    assert (finding.outcome, finding.limit) == (Outcome.LIMITED, 3.0)


@pytest.mark.parametrize("fault", [CutSilentStreams, CutIdleConnections])
async def test_what_is_cut_off_for_silence_is_the_business_of_other_checks(
    quiet_clock: QuietClock, fault: type[CutSilentStreams | CutIdleConnections]
) -> None:
    assert (await finding_of(StreamDuration(), fault(3.0, "closed"), idle=IDLE)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize("fault", [HoldRequests, HoldResponses])
async def test_what_is_held_back_lives_all_the_same(
    quiet_clock: QuietClock, fault: type[HoldRequests | HoldResponses]
) -> None:
    assert (await finding_of(StreamDuration(), fault(), idle=IDLE)).outcome is Outcome.SURVIVED


class OneAccident(Fault):
    """Breaks off one call, the first."""

    def __init__(self) -> None:
        self.done = False

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and not self.done and item.get(":status") and not item.ends:
            self.done = True
            line.reset(item.stream, CANCEL)
            return []
        return [item]


async def test_an_accident_is_no_limit(quiet_clock: QuietClock) -> None:
    assert (await finding_of(StreamDuration(), OneAccident(), idle=IDLE)).outcome is Outcome.INCONCLUSIVE


class GiveUpWaiting(Fault):
    """Answers by itself where the client has not sent everything after some seconds, in place of the server."""

    def __init__(self, seconds: float = 3.0) -> None:
        self.seconds = seconds

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.get(":path") is not None:
            line.nursery.start_soon(self._answer, line, item.stream)
        return [] if item.stream else [item]

    async def _answer(self, line: Line, stream: int) -> None:
        await trio.sleep(self.seconds)
        line.client.send(Head(stream, [(":status", "408"), ("content-type", "text/html")]))
        line.data(line.client, stream, b"Your browser did not send a complete request in time.", end=True)


async def test_a_hop_that_answers_in_the_server_s_place_is_the_business_of_other_checks(
    quiet_clock: QuietClock,
) -> None:
    assert (await finding_of(StreamDuration(), GiveUpWaiting(), idle=IDLE)).outcome is Outcome.INCONCLUSIVE


async def test_a_reload_of_a_hop_is_no_limit_of_calls(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamDuration(), Reload(4.0), idle=8.0)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.startswith("All busy calls were cut off at the same moment, whatever their age")


class Announce(Fault):
    """Tells the server its timeout, as Envoy does."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [item.adding("x-envoy-expected-rq-timeout-ms", "15000") if isinstance(item, Head) else item]


async def test_a_timeout_that_envoy_announces_is_told_although_it_is_not_reached(quiet_clock: QuietClock) -> None:
    finding = await finding_of(StreamDuration(), Announce(), idle=IDLE)
    assert (finding.outcome, finding.limit) == (Outcome.SURVIVED, IDLE)
    assert "but Envoy announces a timeout of 15 s" in finding.sentence
