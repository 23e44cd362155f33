"""`early-end`, against hops that lose the answer of a server that does not wait for the client's end."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
import trio

from echo.probe.check import Check
from echo.probe.checks.cancel import Cancel
from echo.probe.checks.early_end import EarlyEnd
from echo.probe.finding import Outcome
from tests.probe.holding import HoldRequests, HoldResponses, HoldResponsesUntilHalfClose
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line, is_data
from tests.support.http2_frames import PROTOCOL_ERROR
from tests.support.quiet_clock import QuietClock


class LoseEarlyEnd(Fault):
    """Breaks off a call that the server ends before the client has: its end is lost, or its responses, too."""

    def __init__(self, *, responses: bool = False) -> None:
        self.responses = responses
        self.complete: set[tuple[int, int]] = set()
        self.over: set[tuple[int, int]] = set()
        self.held: dict[tuple[int, int], list[Item]] = {}

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if item.ends:
            self.complete.add((line.number, item.stream))
        return [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        key = (line.number, item.stream)
        if key in self.complete or not (is_data(item) or isinstance(item, Head)):
            return [*self.held.pop(key, ()), item]  # In order: a response's messages do not come before its head.
        if item.ends:
            self.over.add(key)
            self.held.pop(key, None)
            line.reset(item.stream, PROTOCOL_ERROR, line.client)
            return []
        if not self.responses:
            return [item]
        self.held.setdefault(key, []).append(item)
        line.nursery.start_soon(self._late, line, key)
        return []

    async def _late(self, line: Line, key: tuple[int, int]) -> None:
        await trio.sleep(0.05)
        if key not in self.over and self.held.get(key):
            line.client.send(self.held[key].pop(0))


class DropScripts(Fault):
    """Lets through no headers that it does not know."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head):
            item = replace(item, fields=[field for field in item.fields if not field[0].startswith("x-echo-")])
        return [item]


@pytest.mark.parametrize("check", [EarlyEnd(), Cancel()])
async def test_a_path_that_drops_what_we_ask_for_is_not_said_to_hold_calls_back(
    quiet_clock: QuietClock, check: Check
) -> None:
    finding = await finding_of(check, DropScripts())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "does the path drop x-echo-* headers?" in finding.sentence


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(quiet_clock: QuietClock, direct: bool) -> None:
    assert (await finding_of(EarlyEnd(), direct=direct)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize("direct", [True, False])
async def test_a_lost_status_is_reported(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(EarlyEnd(), LoseEarlyEnd(), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "lost")
    assert "the status is lost" in finding.sentence


@pytest.mark.parametrize("direct", [True, False])
async def test_a_lost_answer_is_reported(quiet_clock: QuietClock, direct: bool) -> None:
    finding = await finding_of(EarlyEnd(), LoseEarlyEnd(responses=True), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "lost")
    assert "responses and the status are lost" in finding.sentence


@pytest.mark.parametrize("fault", [HoldRequests, HoldResponses, HoldResponsesUntilHalfClose])
async def test_what_is_held_back_anyway_is_the_business_of_other_checks(
    quiet_clock: QuietClock, fault: type[HoldRequests | HoldResponses]
) -> None:
    assert (await finding_of(EarlyEnd(), fault())).outcome in (Outcome.INCONCLUSIVE, Outcome.SURVIVED)


async def test_a_server_that_does_not_do_as_asked_is_not_the_path_s_fault(quiet_clock: QuietClock) -> None:
    assert (await finding_of(EarlyEnd(), scripting=False)).outcome is Outcome.INCONCLUSIVE
