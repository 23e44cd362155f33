"""How a survey runs its checks: alongside others, alone, throughout, within their time limits, and if they raise."""

from dataclasses import replace
from typing import ClassVar

import pytest
import trio

from echo.probe.check import Check, Kind, Scheduling
from echo.probe.finding import Finding, Outcome, broken, inconclusive, limited, survived
from echo.probe.http1 import HttpAnswer
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.survey import Survey
from echo.probe.target import Target
from echo.probe.websocket import RefusedError
from tests.probe.paths import path_through
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK
from tests.support.tcp import reserved_port


class Sleeper(Check):
    """Notes when it ran."""

    question = "Does it?"
    needs: ClassVar[tuple[str, ...]] = ()
    causes = ("lost",)
    log: ClassVar[list[str]] = []

    def __init__(
        self, name: str, seconds: float, finding: Finding | None = None, error: Exception | None = None
    ) -> None:
        self.name = name  # type: ignore[misc]
        self._seconds, self._finding, self._error = seconds, finding, error

    async def run(self, path: Path) -> Finding:
        self.log.append(f"+{self.name}")
        await trio.sleep(self._seconds)
        self.log.append(f"-{self.name}")
        if self._error:
            raise self._error
        return self._finding or survived("Yes.")


class Waiter(Sleeper):
    scheduling = Scheduling.WAITING


class Loner(Sleeper):
    scheduling = Scheduling.ALONE


class Last(Sleeper):
    scheduling = Scheduling.LAST


class Needy(Sleeper):
    needs = ("first",)


class OfTheGateway(Sleeper):
    kind = Kind.WS


async def surveyed(*checks: Sleeper) -> dict[str, Finding]:
    Sleeper.log.clear()
    async with path_through() as path:
        report = await Survey(path, checks).run()
    return {result.name: result.finding for result in report.results}


async def test_those_that_wait_go_on_while_others_run_and_those_alone_run_last(quiet_clock: QuietClock) -> None:
    await surveyed(Loner("x", 1), Loner("y", 1), Sleeper("a", 2), Sleeper("b", 3), Waiter("w", 8))
    others = [event for event in Sleeper.log if event[1] != "w"]
    assert set(others[:2]) == {"+a", "+b"}  # In either order.
    assert others[2:] == ["-a", "-b", "+x", "-x", "+y", "-y"]
    assert Sleeper.log.index("+w") < Sleeper.log.index("-a")
    assert Sleeper.log[-1] == "-w"


async def test_those_that_may_make_the_server_look_ill_come_last(quiet_clock: QuietClock) -> None:
    await surveyed(Last("x", 1), Last("y", 1), Sleeper("a", 2), Loner("b", 1))
    assert Sleeper.log == ["+a", "-a", "+b", "-b", "+y", "-y", "+x", "-x"]


async def test_a_check_that_raises_is_inconclusive_and_the_others_go_on(quiet_clock: QuietClock) -> None:
    found = await surveyed(Sleeper("a", 1, error=ExceptionGroup("", [ValueError("no such thing")])), Sleeper("b", 2))
    assert found["a"].outcome is Outcome.INCONCLUSIVE
    assert found["a"].sentence == "The check itself failed: ValueError (no such thing)."
    assert found["b"].outcome is Outcome.SURVIVED


async def test_a_check_has_a_time_of_its_own(quiet_clock: QuietClock) -> None:
    found = await surveyed(Sleeper("a", 1000), Sleeper("b", 1))
    assert found["a"].sentence == "It did not finish within 10 s."
    assert found["b"].outcome is Outcome.SURVIVED


async def test_a_survey_ends_within_its_time(quiet_clock: QuietClock) -> None:
    began = trio.current_time()
    found = await surveyed(Waiter("w", 1000), *(Loner(str(number), 9) for number in range(5)))
    assert trio.current_time() - began <= 20
    assert found["w"].outcome is Outcome.INCONCLUSIVE
    assert found["4"].sentence == ("There was no time left for it: leave out --quick, or run it by itself (--only 4).")


class Recovering(Sleeper):
    """Comes out badly at first."""

    async def run(self, path: Path) -> Finding:
        finding = await super().run(path)
        self._finding = None
        return finding


async def test_what_is_broken_in_company_is_looked_at_once_more_by_itself(quiet_clock: QuietClock) -> None:
    bad = broken("lost", "No.")
    found = await surveyed(Recovering("a", 1, bad), Sleeper("b", 1, bad), Sleeper("c", 2), Loner("x", 1, bad))
    assert [found[name].outcome for name in "abcx"] == [
        *(Outcome.SURVIVED, Outcome.BROKEN, Outcome.SURVIVED, Outcome.BROKEN),
    ]
    assert found["a"].sentence == "Yes, but only on the second try."
    assert found["a"].details == {"at_first": "No."}
    assert set(Sleeper.log[6:8]) == {"+a", "+b"}
    assert Sleeper.log[10:] == ["+x", "-x"]


async def test_a_second_look_is_had_before_others_are_skipped(quiet_clock: QuietClock) -> None:
    found = await surveyed(Needy("second", 1), Recovering("first", 1, broken("lost", "No.")))
    assert {finding.outcome for finding in found.values()} == {Outcome.SURVIVED}


async def test_second_looks_take_no_more_than_their_part_of_the_time(quiet_clock: QuietClock) -> None:
    began = trio.current_time()
    found = await surveyed(Sleeper("a", 9, broken("lost", "No.")), Loner("b", 1))
    assert trio.current_time() - began == pytest.approx(9 + 3 + 1, abs=0.1)
    assert (found["a"].outcome, found["b"].outcome) == (Outcome.BROKEN, Outcome.SURVIVED)


class Crowded(Loner):
    """Finds more each time."""

    again_after_waiting = True

    async def run(self, path: Path) -> Finding:
        finding = await super().run(path)
        self._finding = limited("lost", "Ten.", limit=10)
        return finding


@pytest.mark.parametrize("at_first", [inconclusive("Who knows?"), limited("lost", "Three.", limit=3)])
async def test_what_those_that_wait_take_away_is_counted_again_after_them(
    at_first: Finding, quiet_clock: QuietClock
) -> None:
    found = await surveyed(Crowded("x", 1, at_first), Waiter("w", 8))
    assert Sleeper.log[-3:] == ["-w", "+x", "-x"]
    assert found["x"].sentence == "Ten."


async def test_what_nobody_takes_away_is_not_counted_again(quiet_clock: QuietClock) -> None:
    await surveyed(Crowded("x", 1, limited("lost", "Three.", limit=3)), Loner("y", 1))
    assert Sleeper.log == ["+x", "-x", "+y", "-y"]


async def test_nobody_asks_what_a_broken_check_has_answered(quiet_clock: QuietClock) -> None:
    found = await surveyed(Needy("second", 1), Sleeper("first", 1, broken("lost", "No.")))
    assert found["second"].outcome is Outcome.SKIPPED
    assert "first" in found["second"].sentence


async def test_checks_of_the_gateway_are_skipped_without_its_url(quiet_clock: QuietClock) -> None:
    assert (await surveyed(OfTheGateway("w", 1)))["w"].outcome is Outcome.SKIPPED


async def test_a_cause_that_is_not_announced_is_a_fault_of_the_check(quiet_clock: QuietClock) -> None:
    found = await surveyed(Sleeper("a", 1, broken("typo", "No.")))
    assert found["a"].outcome is Outcome.INCONCLUSIVE
    assert "'typo' is not a cause of a" in found["a"].sentence


async def test_what_is_stopped_tells_what_is_known(quiet_clock: QuietClock) -> None:
    async with path_through() as path:
        survey = Survey(path, [Sleeper("a", 1), Sleeper("b", 9)])
        with trio.move_on_after(5):
            await survey.run()
        found = {result.name: result.finding for result in survey.report().results}
    assert found["a"].outcome is Outcome.SURVIVED
    assert found["b"].sentence == "It was stopped before it finished."


async def test_a_target_that_cannot_be_reached_is_reported_in_one_line() -> None:
    with reserved_port() as port:
        async with path_through() as path:
            object.__setattr__(path, "target", Target(LOOPBACK, port))
            with pytest.raises(UnreachableError, match=rf"^cannot reach {LOOPBACK}:{port}: Connection refused$"):
                await Survey(path, []).run()


class OverWebSockets(Needy):
    kind = Kind.WS


async def test_checks_of_websockets_are_not_run_where_it_is_not_known_whether_one_opens(
    quiet_clock: QuietClock,
) -> None:
    Sleeper.log.clear()
    async with path_through() as path:
        path = replace(path, gateway=path.target)
        checks = [Sleeper("first", 1, inconclusive("Who knows?")), OverWebSockets("ws", 1), Needy("grpc", 1)]
        found = {result.name: result.finding for result in (await Survey(path, checks).run()).results}
    assert (found["ws"].outcome, found["grpc"].outcome) == (Outcome.SKIPPED, Outcome.SURVIVED)
    assert found["ws"].sentence == "It was not run because first is inconclusive."


async def test_a_websocket_that_is_refused_is_reported_in_words(quiet_clock: QuietClock) -> None:
    refused = RefusedError(HttpAnswer(503, [("content-type", "text/html")]))
    found = await surveyed(Sleeper("a", 1, error=refused))
    assert found["a"].outcome is Outcome.INCONCLUSIVE
    assert found["a"].sentence == "A WebSocket was refused, so it could not be checked: HTTP 503 with text/html."


async def test_a_name_that_cannot_be_looked_up_is_reported_in_one_line() -> None:
    async with path_through() as path:
        path = replace(path, target=Target("a\u0640b.example", 443))
        with pytest.raises(UnreachableError, match=r"^cannot reach .*: no host has such a name \(.*\)$"):
            await Survey(path, []).run()


async def test_a_check_that_gets_no_connection_says_so(quiet_clock: QuietClock) -> None:
    found = await surveyed(Sleeper("a", 1, error=UnreachableError("cannot reach there: Connection refused")))
    assert found["a"].outcome is Outcome.INCONCLUSIVE
    assert found["a"].sentence == (
        "No connection could be made for it, though the first one could: cannot reach there: Connection refused."
    )
