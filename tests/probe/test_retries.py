"""`retries`, against hops that retry calls."""

from collections.abc import Callable

import pytest

from echo.probe.checks.retries import Retries
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault
from tests.probe.repeating import Repeat
from tests.support.quiet_clock import QuietClock


class Renumber(Repeat):
    """Repeats nothing, but has all of the above to do."""

    def __init__(self) -> None:
        super().__init__([])


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("fault", [Fault, Renumber])
async def test_a_clean_path_survives(fault: type[Fault], direct: bool) -> None:
    assert (await finding_of(Retries(), fault(), direct=direct)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (lambda: Repeat(["14"]), "retried", "rejected (UNAVAILABLE): it saw one up to 3 times"),
        (lambda: Repeat(["8"], attempts=2), "retried", "(RESOURCE_EXHAUSTED): it saw one up to 2 times"),
        (
            lambda: Repeat(["14", "13", "1"]),
            "retried-unsafe",
            "one that ended with INTERNAL or CANCELLED reached the server 3 times",
        ),
        (
            lambda: Repeat([], resets=[2], attempts=2),
            "retried-unsafe",
            "one that was reset reached the server 2 times",
        ),
    ],
)
async def test_repeated_calls_are_reported(fault: Callable[[], Fault], cause: str, words: str, direct: bool) -> None:
    finding = await finding_of(Retries(), fault(), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, cause)
    assert words in finding.sentence


async def test_without_evidence_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Retries(), scripting=False)).outcome is Outcome.INCONCLUSIVE
