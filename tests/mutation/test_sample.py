"""Which mutants are drawn, and what is said of all of them."""

import math
from collections import Counter

import pytest

from tests.mutation.ledger import Outcome
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.sample import draw, in_words, interval

SOURCE = "def f(a):\n" + "".join(f"    x{line} = a < {line}\n" for line in range(40))


def found(source: str = SOURCE) -> list[tuple[str, Mutant]]:
    return [("f.py", mutant) for mutant in mutants(source)]


def drawn(size: int, seed: int = 0, source: str = SOURCE) -> list[tuple[str, str]]:
    return [(mutant.text, mutant.change) for _, mutant in draw(found(source), size, seed)]


def test_the_same_seed_draws_the_same_mutants_another_draws_others() -> None:
    assert drawn(20) == drawn(20)
    assert len(set(drawn(20))) == 20
    assert set(drawn(20)) != set(drawn(20, seed=1))


def test_a_larger_sample_begins_with_the_smaller_one_and_ends_with_all() -> None:
    assert drawn(50)[:20] == drawn(20)
    assert len(drawn(1000)) == len(found())


def test_mutants_whose_lines_have_moved_are_drawn_as_before() -> None:
    assert drawn(20, source="\n\n" + SOURCE) == drawn(20)


def test_every_mutant_has_the_same_chance_also_those_of_lines_that_are_alike() -> None:
    source = "def f(a):\n" + "    if not a: return\n" * 10
    times = Counter(draw(found(source), 1, seed)[0][1].line for seed in range(2000))
    assert set(times) == set(range(2, 12))
    assert min(times.values()) > 150


@pytest.mark.parametrize(
    ("killed", "tried", "low", "high"),
    [(0, 10, 0.0, 0.2775), (81, 263, 0.2553, 0.3662), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_the_interval_is_wilsons(killed: int, tried: int, low: float, high: float) -> None:
    assert [round(bound, 4) for bound in interval(killed, tried)] == [low, high]


def test_the_interval_holds_the_true_share_for_about_95_of_100_samples() -> None:
    true, tried = 0.93, 300
    inside = 0.0
    for killed in range(tried + 1):
        low, high = interval(killed, tried)
        if low <= true <= high:
            inside += math.comb(tried, killed) * true**killed * (1 - true) ** (tried - killed)
    assert 0.93 < inside < 0.97


def test_the_share_is_reported_with_its_interval_a_trial_that_does_not_end_counts_as_noticed() -> None:
    outcomes: list[Outcome] = [*("killed",) * 8, "timeout", "survived"]
    assert in_words(outcomes, 4000, 7) == (
        "Of 4000 mutants, 10 drawn at random (seed 7) were tried, and the tests noticed 9: 90.0%.\n"
        "Of all mutants they would notice between 59.6% and 98.2% (95 % confidence)."
    )


def test_what_was_tried_after_a_mutant_that_is_yet_to_be_tried_is_left_out() -> None:
    assert "2 drawn at random (seed 0) were tried, and the tests noticed 1: 50.0%" in in_words(
        ["killed", "untested", None, "killed", "killed"], 9, 0
    )
    assert in_words([None, "killed"], 9, 0) == "None of the sample has been tried yet."
