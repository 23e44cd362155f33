"""`status`, against hops that change how calls end."""

import math
from collections.abc import Iterable

import pytest

from echo.probe.checks.status import Status
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.probe.turning_away import LeaveAfter, Refuse
from tests.support.quiet_clock import QuietClock


class ErrorPages(Fault):
    """Takes a call that fails at once for an HTTP error, as some hops do."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.get(":status") and item.get("grpc-status") not in (None, "0"):
            page = [(":status", "502"), ("content-type", "text/html")]
            return [Head(item.stream, page, ends=True)]
        return [item]


class Rewrite(Fault):
    """Makes one status of another."""

    def __init__(self, before: str, after: str) -> None:
        self.before, self.after = before, after

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.get("grpc-status") == self.before:
            return [item.without("grpc-status").adding("grpc-status", self.after)]
        return [item]


class HideFailures(Fault):
    """Has every call end with OK."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.get("grpc-status") is not None:
            return [item.without("grpc-status").adding("grpc-status", "0")]
        return [item]


class Lose(Fault):
    def __init__(self, name: str) -> None:
        self.name = name

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [item.without(self.name) if isinstance(item, Head) else item]


class SpoilMessages(Fault):
    """Keeps to ASCII."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and (message := item.get("grpc-message")) is not None:
            return [item.without("grpc-message").adding("grpc-message", message.replace("%E2%98%83", "?"))]
        return [item]


class TurnAway(Refuse):
    """Turns calls away that ask for one of these statuses, as a hop does that has enough to do."""

    def __init__(self, statuses: Iterable[str], times: float = math.inf) -> None:
        super().__init__("14", "overflow")
        self.statuses, self.left = tuple(statuses), times

    def turned_away(self, line: Line, head: Head) -> bool:
        asked = (head.get("x-echo-status") or "").partition(":")[0]
        self.left -= asked in self.statuses
        return asked in self.statuses and self.left >= 0


@pytest.mark.parametrize("direct", [True, False])
async def test_calls_that_never_reached_the_server_have_no_status_of_its_own(
    quiet_clock: QuietClock, direct: bool
) -> None:
    finding = await finding_of(Status(), TurnAway(["5", "14"]), direct=direct)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "4 of 34 calls, which ended with UNAVAILABLE (overflow)" in finding.sentence


async def test_calls_that_are_turned_away_once_are_made_again(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Status(), TurnAway(["5"], times=2))).outcome is Outcome.SURVIVED


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    assert (await finding_of(Status(), direct=direct)).outcome is Outcome.SURVIVED


async def test_a_hop_that_takes_few_calls_on_a_connection_loses_no_status(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Status(), LeaveAfter(20))).outcome is Outcome.SURVIVED


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (Rewrite("14", "13"), "rewritten", "1 of 17 status codes does not arrive: UNAVAILABLE came as INTERNAL"),
        (HideFailures(), "hidden", "Calls that fail seem to succeed: 16 of 17 status codes arrive as OK."),
        (ErrorPages(), "trailers-only", "CANCELLED came as HTTP 502 with text/html"),
        (Lose("grpc-message"), "message", "nothing arrives"),
        (SpoilMessages(), "message", 'vu" ?” arrives'),
        (Lose("grpc-status-details-bin"), "details", "CANCELLED, UNKNOWN, INVALID_ARGUMENT and 13 more"),
    ],
)
async def test_a_changed_ending_is_reported(fault: Fault, cause: str, words: str) -> None:
    finding = await finding_of(Status(), fault)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, cause)
    assert words in finding.sentence


async def test_a_server_that_does_not_do_as_asked_is_not_the_path_s_fault() -> None:
    assert (await finding_of(Status(), scripting=False)).outcome is Outcome.INCONCLUSIVE
