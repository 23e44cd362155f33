"""The checks of streaming and time against each other's hops: each fault is reported by its own check and no other."""

from collections.abc import Callable

import pytest

from echo.probe.check import Check
from echo.probe.checks.backpressure import Backpressure
from echo.probe.checks.bidirectional import Bidirectional
from echo.probe.checks.connection_idle import ConnectionIdle
from echo.probe.checks.deadline import Deadline
from echo.probe.checks.early_end import EarlyEnd
from echo.probe.checks.half_close import HalfClose
from echo.probe.checks.keepalive import Keepalive
from echo.probe.checks.request_streaming import RequestStreaming
from echo.probe.checks.reset import Reset
from echo.probe.checks.response_streaming import ResponseStreaming
from echo.probe.checks.stream_duration import StreamDuration
from echo.probe.checks.stream_idle import StreamIdle
from echo.probe.finding import Finding, Outcome
from echo.probe.survey import Survey
from tests.probe.cutting import (
    CutAsTheyAreUsed,
    CutConnectionsWithoutStreams,
    CutIdleConnections,
    CutOldConnections,
    CutOldStreams,
    CutSilentClients,
    CutSilentStreams,
    CutStreamsOldSinceHalfClose,
    ForgetIdleConnections,
)
from tests.probe.holding import (
    BufferRequests,
    BufferResponses,
    HoldRequests,
    HoldResponses,
    HoldResponsesUntilHalfClose,
    ReleaseInTurns,
)
from tests.probe.paths import path_through
from tests.probe.relays import Fault
from tests.probe.test_backpressure import CutSlowReaders
from tests.probe.test_bidirectional import ResetOnEarlyResponse
from tests.probe.test_deadline import add_deadlines, cap_deadlines, lengthen_deadlines, lose_deadlines
from tests.probe.test_early_end import LoseEarlyEnd
from tests.probe.test_half_close import EndCallAtHalfClose, KeepEnds
from tests.probe.test_keepalive import AnswerPings, AnswerThree, CloseOnPings, Complain, SwallowPings
from tests.probe.test_reset import EndForReset, ResetByCancel, ResetByStatus, SwallowResets
from tests.support.quiet_clock import QuietClock

CHECKS: list[Check] = [
    RequestStreaming(),
    ResponseStreaming(),
    Bidirectional(),
    HalfClose(),
    EarlyEnd(),
    Deadline(),
    Reset(),
    StreamIdle(),
    StreamDuration(),
    ConnectionIdle(),
    Keepalive(),
    Backpressure(),
]
IDLE = 6.0

FAULTS: dict[str, tuple[Callable[[], Fault], str]] = {
    "hold requests": (HoldRequests, "request-streaming"),
    "buffer requests": (lambda: HoldRequests(until=40_000), "request-streaming"),
    "release requests in turns": (lambda: ReleaseInTurns(0.5, requests=True), "request-streaming"),
    "hold responses": (HoldResponses, "response-streaming"),
    "buffer responses": (lambda: HoldResponses(until=40_000), "response-streaming"),
    "release responses in turns": (lambda: ReleaseInTurns(0.5, requests=False), "response-streaming"),
    "hold responses until half-close": (HoldResponsesUntilHalfClose, "bidirectional"),
    "reset on an early response": (ResetOnEarlyResponse, "bidirectional"),
    "keep ends to itself": (lambda: KeepEnds(empty=True), "half-close"),
    "end calls at half-close": (EndCallAtHalfClose, "half-close"),
    "lose an early status": (LoseEarlyEnd, "early-end"),
    "lose an early answer": (lambda: LoseEarlyEnd(responses=True), "early-end"),
    "lose deadlines": (lose_deadlines, "deadline"),
    "cap deadlines": (cap_deadlines, "deadline"),
    "lengthen deadlines": (lengthen_deadlines, "deadline"),
    "add deadlines": (add_deadlines, "deadline"),
    "reset by CANCEL": (ResetByCancel, "reset"),
    "reset by a status": (ResetByStatus, "reset"),
    "end for reset": (EndForReset, "reset"),
    "swallow resets": (SwallowResets, "reset"),
    "reset silent streams": (lambda: CutSilentStreams(3.0), "stream-idle"),
    "reset streams of silent clients": (lambda: CutSilentClients(3.0), "stream-idle"),
    "GOAWAY for silent streams": (lambda: CutSilentStreams(3.0, "goaway"), "stream-idle"),
    "FIN for silent streams": (lambda: CutSilentStreams(3.0, "closed"), "stream-idle"),
    "drop silent streams": (lambda: CutSilentStreams(3.0, "silence"), "stream-idle"),
    "reset old streams": (lambda: CutOldStreams(4.0), "stream-duration"),
    "drop old streams": (lambda: CutOldStreams(4.0, "silence"), "stream-duration"),
    "reset streams old since half-close": (lambda: CutStreamsOldSinceHalfClose(4.0), "stream-duration"),
    "close old connections": (lambda: CutOldConnections(4.0, "goaway"), "stream-duration"),
    "drop old connections": (lambda: CutOldConnections(4.0, "silence"), "stream-duration"),
    "close idle connections": (lambda: CutIdleConnections(3.0, "closed"), "connection-idle"),
    "drop idle connections": (lambda: CutIdleConnections(3.0, "silence"), "connection-idle"),
    "close connections without streams": (lambda: CutConnectionsWithoutStreams(3.0), "connection-idle"),
    "give up idle connections as they are used": (lambda: CutAsTheyAreUsed(3.0), "connection-idle"),
    "forget idle connections": (lambda: ForgetIdleConnections(3.0), "connection-idle"),
    "swallow pings": (SwallowPings, "keepalive"),
    "complain of pings": (lambda: Complain(60.0), "keepalive"),
    "close on pings": (lambda: CloseOnPings(0.0), "keepalive"),
    "stop answering pings": (AnswerThree, "keepalive"),
    "buffer all responses": (BufferResponses, "backpressure"),
    "buffer all requests": (BufferRequests, "backpressure"),
    "cut slow readers": (lambda: CutSlowReaders(0.5), "backpressure"),
    "cut calls to slow servers": (lambda: CutSlowReaders(0.5, lot=32 * 1024, requests=True), "backpressure"),
}


async def surveyed(fault: Fault | None, *, direct: bool) -> dict[str, Finding]:
    async with path_through(fault, idle=IDLE, direct=direct) as path:
        report = await Survey(path, CHECKS).run()
    return {result.name: result.finding for result in report.results}


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("fault", [Fault, AnswerPings])
async def test_all_survive_a_clean_path(quiet_clock: QuietClock, fault: type[Fault], direct: bool) -> None:
    found = await surveyed(fault(), direct=direct)
    assert [name for name, finding in found.items() if finding.outcome is not Outcome.SURVIVED] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
async def test_each_hop_is_named_by_its_check_and_by_no_other(quiet_clock: QuietClock, name: str) -> None:
    make, check = FAULTS[name]
    found = await surveyed(make(), direct=True)
    told = {name: finding for name, finding in found.items() if finding.outcome in (Outcome.BROKEN, Outcome.LIMITED)}
    assert list(told) == [check], {name: finding.sentence for name, finding in found.items()}
