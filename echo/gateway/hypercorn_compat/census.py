"""How many connections the process has served. Hypercorn makes them, and has no place where one could be told more."""

from dataclasses import dataclass
from typing import Final

__all__ = ["CENSUS", "connection_counts"]


@dataclass(slots=True)
class Census:
    """Connections begun, and those of them that have ended."""

    begun: int = 0
    ended: int = 0


CENSUS: Final = Census()


def connection_counts() -> tuple[int, int]:
    """How many connections were begun, and how many of them have ended."""
    return CENSUS.begun, CENSUS.ended
