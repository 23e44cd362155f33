"""Counts the process's connections. A global, since Hypercorn creates them and has no place to pass one in."""

from dataclasses import dataclass
from typing import Final

__all__ = ["CENSUS", "connection_counts"]


@dataclass(slots=True)
class Census:
    """Connections started, and how many of them have ended."""

    begun: int = 0
    ended: int = 0


CENSUS: Final = Census()


def connection_counts() -> tuple[int, int]:
    """How many connections were started, and how many of them have ended."""
    return CENSUS.begun, CENSUS.ended
