"""Searches for the largest size that gets through, between one that does and one that does not."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass
class Bounds:
    """What is known so far, even if the search was cancelled.

    Attributes:
        fits: The largest size that got through.
        fails: The smallest that did not.
    """

    fits: int
    fails: int


async def narrow(
    bounds: Bounds, fits: Callable[[int], Awaitable[bool | None]], *, precision: int, at_once: int = 1, rounds: int = 32
) -> None:
    """Move the bounds towards each other.

    Args:
        bounds: Where to begin; kept up to date.
        fits: Tries a size; None if the try says nothing. The search ends when no try of a round says anything.
        precision: Bytes that may be left between them.
        at_once: How many sizes to try in parallel.
        rounds: The maximum number of rounds.
    """
    for _ in range(rounds):
        gap = bounds.fails - bounds.fits
        if gap <= precision:
            return
        tries = min(at_once, gap - 1)
        results: dict[int, bool | None] = {}

        async def attempt(size: int, results: dict[int, bool | None] = results) -> None:
            results[size] = await fits(size)

        async with trio.open_nursery() as nursery:
            for number in range(1, tries + 1):
                nursery.start_soon(attempt, bounds.fits + gap * number // (tries + 1))
        if all(fit is None for fit in results.values()):
            return
        bounds.fails = min([bounds.fails, *(size for size, fit in results.items() if fit is False)])
        bounds.fits = max([bounds.fits, *(size for size, fit in results.items() if fit and size < bounds.fails)])


def size_in_words(size: float) -> str:
    """A number of bytes for people: ``512 bytes``, ``7.9 KiB``, ``4 MiB``."""
    if size < KIB:
        return f"{size:.0f} bytes"
    unit, name = (MIB, "MiB") if size >= MIB else (KIB, "KiB")
    return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
