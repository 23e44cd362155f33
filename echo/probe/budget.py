"""How long a survey may take, and how long it waits on silent streams and connections."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Seconds after which products cut idle streams by default, and a bit more: whatever lasts 65 s has outlasted 60 s.
RUNGS: Final = (1, 2, 5, 10, 15, 20, 30, 45, 65, 95, 125, 185, 245, 305, 365, 605, 905, 1205, 1805, 2705, 3605)
QUICK_IDLE: Final = 10.0


class Pace(StrEnum):
    """How thorough a survey is."""

    QUICK = "quick"
    DEFAULT = "default"
    LONG = "long"


@dataclass(frozen=True)
class Budget:
    """The time available.

    Attributes:
        pace: How thorough to be: `Pace.QUICK` transfers less.
        total: Seconds for everything.
        idle: Seconds that silent and busy streams should stay open.
    """

    pace: Pace
    total: float
    idle: float

    @classmethod
    def of(cls, pace: Pace = Pace.DEFAULT, idle: float | None = None) -> "Budget":
        """The budget of a pace, for the idle time asked for.

        Raises:
            ValueError: The idle time is too long for the pace.
        """
        if pace is Pace.QUICK:
            if idle is not None and idle > QUICK_IDLE:
                raise ValueError(f"--quick waits {QUICK_IDLE:g} s at most; leave it out to wait longer")
            return cls(pace, 20.0, QUICK_IDLE if idle is None else idle)
        if pace is Pace.DEFAULT and (idle is None or idle <= 130.0):
            return cls(pace, 180.0, 125.0 if idle is None else idle)
        asked = 3600.0 if idle is None else idle
        return cls(Pace.LONG, asked + 120.0, asked)

    @property
    def quick(self) -> bool:
        """Whether the pace is `Pace.QUICK`."""
        return self.pace is Pace.QUICK

    def rungs(self) -> Sequence[float]:
        """The idle times to try at once, the one asked for last."""
        return [*(float(rung) for rung in RUNGS if rung < self.idle), self.idle]
