"""`connection-idle`, against hops that close or drop idle connections, and against others that do not."""

import pytest

from echo.probe.checks.connection_idle import ConnectionIdle
from echo.probe.finding import Outcome
from echo.rpc import Limits
from tests.probe.cutting import (
    CutAsTheyAreUsed,
    CutConnectionsWithoutStreams,
    CutIdleConnections,
    CutOldConnections,
    CutOldStreams,
    CutSilentStreams,
    DrainOldConnections,
    ForgetIdleConnections,
    Reload,
)
from tests.probe.paths import finding_of
from tests.probe.relays import Fault
from tests.support.quiet_clock import QuietClock

IDLE = 6.0


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(ConnectionIdle(), idle=IDLE, direct=direct)
    assert (finding.outcome, finding.limit, finding.unit) == (Outcome.SURVIVED, IDLE, "s")


@pytest.mark.parametrize("fault", [CutIdleConnections(3.0, "closed"), CutConnectionsWithoutStreams(3.0, "closed")])
async def test_an_idle_connection_that_is_closed_is_reported(quiet_clock: QuietClock, fault: Fault) -> None:
    finding = await finding_of(ConnectionIdle(), fault, idle=IDLE)
    assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, "closed", 3.0)
    assert "after 3.0 s, without a GOAWAY" in finding.sentence


async def test_an_idle_connection_that_is_closed_with_notice_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), CutConnectionsWithoutStreams(3.0), idle=IDLE)
    assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, "closed", 3.0)
    assert "after 3.0 s, with notice" in finding.sentence


async def test_an_idle_connection_that_is_dropped_without_notice_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), CutIdleConnections(3.0, "silence"), idle=IDLE)
    assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, "black-hole", 2.0)
    assert "within 5 s without notice" in finding.sentence


@pytest.mark.parametrize("fault", [CutSilentStreams(3.0, "closed"), CutOldStreams(3.0)])
async def test_streams_that_are_cut_off_are_the_business_of_other_checks(quiet_clock: QuietClock, fault: Fault) -> None:
    assert (await finding_of(ConnectionIdle(), fault, idle=IDLE)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize(
    ("fault", "notice"),
    [
        (CutOldConnections(3.0, "closed"), "without a GOAWAY"),
        (CutOldConnections(3.0, "goaway"), "with notice"),
        (DrainOldConnections(3.0), "with notice"),
    ],
)
async def test_connections_that_are_closed_at_some_age_are_reported(
    quiet_clock: QuietClock, fault: Fault, notice: str
) -> None:
    finding = await finding_of(ConnectionIdle(), fault, idle=IDLE)
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "age")
    assert finding.limit == pytest.approx(3.0, abs=0.11)
    assert f"s, {notice}, whether they are in use or not" in finding.sentence


async def test_old_connections_that_are_dropped_are_not_called_idle(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), CutOldConnections(3.0, "silence"), idle=IDLE)
    assert finding.outcome is Outcome.INCONCLUSIVE


async def test_a_reload_of_a_hop_is_no_limit_of_connections(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), Reload(3.5), idle=IDLE)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "closed at once after 3.5 s, whatever their age, as by a reload" in finding.sentence


async def test_a_reload_before_others_are_opened_is_no_limit_of_connections(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), Reload(1.5, wait=True), idle=IDLE)
    assert finding.outcome is Outcome.INCONCLUSIVE


async def test_a_server_that_closes_old_connections_is_not_the_path_s_fault(quiet_clock: QuietClock) -> None:
    limits = Limits(max_connection_age=3.0, max_connection_age_grace=0.5)
    finding = await finding_of(ConnectionIdle(), idle=IDLE, limits=limits)
    assert finding.outcome is Outcome.SURVIVED
    assert "the server itself closes them at an age of" in finding.sentence


async def test_a_connection_that_is_reset_when_it_is_used_again_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), ForgetIdleConnections(3.0), idle=IDLE)
    assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, "black-hole", 2.0)


async def test_notice_that_crosses_our_call_is_notice_all_the_same(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), CutAsTheyAreUsed(3.0), idle=IDLE)
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "closed")
    assert "with notice" in finding.sentence


async def test_a_server_that_closes_idle_connections_is_not_the_path_s_fault(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), idle=IDLE, limits=Limits(max_connection_idle=3.0))
    assert (finding.outcome, finding.limit) == (Outcome.SURVIVED, 3.0)
    assert "the server itself closes" in finding.sentence


async def test_without_a_way_around_it_is_left_open_who_closes_idle_connections(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), idle=IDLE, direct=False, limits=Limits(max_connection_idle=3.0))
    assert (finding.outcome, finding.limit) == (Outcome.LIMITED, 3.0)
    assert "The path or the server closes" in finding.sentence


async def test_where_nothing_is_answered_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    finding = await finding_of(ConnectionIdle(), CutOldConnections(0.0, "silence"), idle=IDLE)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence.startswith("No call was answered at all")
