"""Tests that mostly wait for real time: what each of them looks at is brought about for all of a file side by side.

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

AT_ONCE: Final = 3  # More of them would wait for processors instead of time.


@dataclass(frozen=True, eq=False)
class Look(Generic[T]):
    """One thing to look at.

    Attributes:
        name: In the test's name.
        at: Brings it about, and gives what came of it.
    """

    name: str
    at: Callable[[], Awaitable[T]]

    def __str__(self) -> str:
        return self.name


class Seen(Generic[T]):
    """What came of each look."""

    def __init__(self) -> None:
        self._outcomes: dict[Look[T], T | Exception] = {}

    async def take(self, looks: Iterable[Look[T]], at_once: int) -> None:
        """Take all these looks. Together they leave nothing behind."""
        async with no_leaks(), trio.open_nursery() as nursery:
            turns = trio.CapacityLimiter(at_once)
            for look in looks:
                nursery.start_soon(self._take, look, turns)

    async def _take(self, look: Look[T], turns: trio.CapacityLimiter) -> None:
        async with turns:
            try:
                self._outcomes[look] = await look.at()
            except Exception as error:  # noqa: BLE001 - It is the failure of one test.
                self._outcomes[look] = error

    def as_wanted(self, fits: Callable[[Look[T], T], bool]) -> Callable[[Look[T]], bool]:
        """Whether a look came to something that fits."""

        def holds(look: Look[T]) -> bool:
            outcome = self._outcomes[look]
            return not isinstance(outcome, Exception) and fits(look, outcome)

        return holds

    def of(self, look: Look[T]) -> T:
        """What came of this one; raises what it raised."""
        outcome = self._outcomes[look]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def looks_of(request: pytest.FixtureRequest) -> list[Look[Any]]:
    """The looks of all tests of this file that are to run."""
    mine = (item for item in request.session.items if item.path == request.path)
    params = [item.callspec.params for item in mine if hasattr(item, "callspec")]
    return [look for each in params for look in each.values() if isinstance(look, Look)]


def looked_at(request: pytest.FixtureRequest, fits: Callable[[Look[Any], Any], bool]) -> Seen[Any]:
    """What came of the looks of all tests of this file that are to run: for a fixture of the file's.

    Args:
        request: The fixture's.
        fits: Whether something is as wanted. If it is not, it is looked at once more, alone: these clocks are real, and
            a busy machine may have been the reason.
    """
    looks, found = looks_of(request), Seen[Any]()
    trio.run(found.take, looks, AT_ONCE)
    holds = found.as_wanted(fits)
    trio.run(found.take, [look for look in looks if not holds(look)], 1)
    return found
