"""Paths that serve few connections at a time: the report names that limit, and blames nothing else."""

from dataclasses import replace

import pytest

from echo.probe.checks.cancel import Cancel
from echo.probe.checks.connection_idle import ConnectionIdle
from echo.probe.checks.early_end import EarlyEnd
from echo.probe.checks.half_close import HalfClose
from echo.probe.checks.header_size import HeaderSize
from echo.probe.checks.http2 import Http2Check
from echo.probe.checks.message_size import MessageSize
from echo.probe.checks.stream_idle import StreamIdle
from echo.probe.checks.trailers import Trailers
from echo.probe.finding import Outcome
from echo.probe.survey import Survey
from echo.probe.target import Target
from tests.probe.crowding import crowded
from tests.probe.paths import finding_of, path_through
from tests.probe.turning_away import KeepCalls, Refuse
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK

CHECKS = (
    *(Http2Check(), StreamIdle(), ConnectionIdle(), EarlyEnd(), HalfClose(), Trailers(), Cancel(), MessageSize()),
    HeaderSize(),
)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("closing", [True, False])
@pytest.mark.parametrize("most", [1, 4])
async def test_where_few_connections_are_served_the_report_says_so_and_nothing_else(
    most: int, closing: bool, direct: bool, quiet_clock: QuietClock
) -> None:
    async with path_through(direct=direct) as path, crowded(path.target.port, most, closing=closing) as port:
        results = (await Survey(replace(path, target=Target(LOOPBACK, port)), CHECKS).run()).results
    assert results[0].finding.outcome is Outcome.SURVIVED
    others = [result for result in results if result.finding.outcome is not Outcome.SURVIVED]
    assert others
    assert {result.finding.outcome for result in others} == {Outcome.INCONCLUSIVE}
    for result in others:
        assert result.finding.sentence.startswith("No connection could be made for it, though the first one could: "), (
            result
        )
        assert result.advice[0].startswith("Envoy: connection_limit filter")


async def test_where_no_connection_is_served_no_limit_is_named(quiet_clock: QuietClock) -> None:
    async with path_through() as path, crowded(path.target.port, 0, closing=True) as port:
        (result,) = (await Survey(replace(path, target=Target(LOOPBACK, port)), [EarlyEnd()]).run()).results
    assert result.finding.outcome is Outcome.INCONCLUSIVE
    assert "the first one could" not in result.finding.sentence


async def test_a_call_that_the_server_has_not_seen_is_not_said_to_be_held_back(quiet_clock: QuietClock) -> None:
    finding = await finding_of(EarlyEnd(), Refuse("14", "full"))
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence == "The server did not see the call, which ended with UNAVAILABLE (full)."


async def test_a_connection_on_which_only_calls_are_unanswered_was_served(quiet_clock: QuietClock) -> None:
    finding = await finding_of(EarlyEnd(), KeepCalls())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.startswith("The server sees no message before we have sent everything")
