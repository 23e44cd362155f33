"""Mutants drawn at random, when there are too many to try them all, and what they say of all of them.

The share of killed ones is an estimate of the share among all, so it holds for tests that were not written with the
sample in sight: once its survivors have got their tests, draw another one (``--seed``).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

from tests.mutation.ledger import GONE, Outcome
from tests.mutation.mutants import Mutant

_DEVIATIONS: Final = 1.96  # Standard deviations on either side of the mean that hold 95 % of a normal distribution.


def draw(found: Iterable[tuple[str, Mutant]], size: int, seed: int) -> list[tuple[str, Mutant]]:
    """Draw some of the mutants, given with their files; all have the same chance.

    The same seed draws the same ones as long as their lines stay as they are, wherever they move. A larger sample
    begins with the smaller one.
    """
    alike: Counter[tuple[str, str, str]] = Counter()
    ranked: list[tuple[bytes, tuple[str, Mutant]]] = []
    for file, mutant in found:
        key = (file, mutant.text, mutant.change)
        alike[key] += 1
        ranked.append((hashlib.sha256(repr((seed, key, alike[key])).encode()).digest(), (file, mutant)))
    ranked.sort(key=lambda pair: pair[0])
    return [pair for _, pair in ranked[:size]]


def interval(killed: int, tried: int) -> tuple[float, float]:
    """The 95 % interval of a share, after Wilson: it stays within 0 and 1, for few trials too."""
    share, square = killed / tried, _DEVIATIONS**2
    middle = share + square / (2 * tried)
    width = _DEVIATIONS * math.sqrt(share * (1 - share) / tried + square / (4 * tried**2))
    return (middle - width) / (1 + square / tried), (middle + width) / (1 + square / tried)


def in_words(outcomes: Iterable[Outcome | None], total: int, seed: int) -> str:
    """What the sample says; its outcomes are given in the order in which it was drawn.

    Those after the first mutant that has not been tried yet are left out. They would distort the share: of the mutants
    of an earlier run only the survivors are tried again.
    """
    tried: list[Outcome] = []
    for outcome in outcomes:
        if outcome is None:
            break
        tried.append(outcome)
    if not tried:
        return "None of the sample has been tried yet."
    killed = sum(outcome in GONE for outcome in tried)
    low, high = interval(killed, len(tried))
    return (
        f"Of {total} mutants, {len(tried)} drawn at random (seed {seed}) were tried, and the tests noticed {killed}: "
        f"{killed / len(tried):.1%}.\nOf all mutants they would notice between {low:.1%} and {high:.1%} "
        "(95 % confidence)."
    )
