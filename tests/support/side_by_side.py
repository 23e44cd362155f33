"""Runs the scenarios of tests that mostly wait for real time side by side, for all tests of a file.

A file's fixture takes, once and for those of its tests that are to run, the `Look` that each has among its parameters.
Each test is given what came of its own, and fails by itself.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import pytest
import trio

from tests.support.leaks import no_leaks

T = TypeVar("T")

AT_ONCE: Final = 3  # With more, they would wait for processors instead of time.


@dataclass(frozen=True, eq=False)
class Look(Generic[T]):
    """One thing to look at.

    Attributes:
        name: In the test's name.
        at: Runs it, and returns its result.
    """

    name: str
    at: Callable[[], Awaitable[T]]

    def __str__(self) -> str:
        return self.name


class Seen(Generic[T]):
    """The result of each scenario."""

    def __init__(self) -> None:
        self._outcomes: dict[Look[T], T | Exception] = {}

    async def take(self, looks: Iterable[Look[T]], at_once: int) -> None:
        """Run all scenarios. Together they must leak nothing."""
        async with no_leaks(), trio.open_nursery() as nursery:
            turns = trio.CapacityLimiter(at_once)
            for look in looks:
                nursery.start_soon(self._take, look, turns)

    async def _take(self, look: Look[T], turns: trio.CapacityLimiter) -> None:
        async with turns:
            try:
                self._outcomes[look] = await look.at()
            except Exception as error:  # noqa: BLE001 - It fails one test only.
                self._outcomes[look] = error

    def as_wanted(self, fits: Callable[[Look[T], T], bool]) -> Callable[[Look[T]], bool]:
        """Whether the result of a scenario is as expected."""

        def holds(look: Look[T]) -> bool:
            outcome = self._outcomes[look]
            return not isinstance(outcome, Exception) and fits(look, outcome)

        return holds

    def of(self, look: Look[T]) -> T:
        """The result of this scenario; raises what it raised."""
        outcome = self._outcomes[look]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def looks_of(request: pytest.FixtureRequest) -> list[Look[Any]]:
    """The scenarios of all selected tests of this file."""
    mine = (item for item in request.session.items if item.path == request.path)
    params = [item.callspec.params for item in mine if hasattr(item, "callspec")]
    return [look for each in params for look in each.values() if isinstance(look, Look)]


def looked_at(request: pytest.FixtureRequest, fits: Callable[[Look[Any], Any], bool]) -> Seen[Any]:
    """Run the scenarios of all selected tests of this file; to be used by a fixture of the file.

    Args:
        request: The fixture's request.
        fits: Whether a result is as expected. If not, the scenario is run once more, alone: it depends on real time,
            and a busy machine may have been the reason.
    """
    looks, found = looks_of(request), Seen[Any]()
    trio.run(found.take, looks, AT_ONCE)
    holds = found.as_wanted(fits)
    trio.run(found.take, [look for look in looks if not holds(look)], 1)
    return found
