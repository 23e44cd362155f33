"""The flood budget: a burst at once and a sustained rate, for any times."""

from hypothesis import given
from hypothesis import strategies as st

from echo.wire.budget import Budget


def spent(budget: Budget, now: float, tries: int = 100) -> int:
    """How many of so many tries succeed at this time."""
    return sum(budget.spend(now) for _ in range(tries))


def test_a_burst_has_exactly_the_configured_size() -> None:
    budget = Budget(3, 1)
    assert [budget.spend(0) for _ in range(5)] == [True, True, True, False, False]


def test_tokens_come_back_with_time_and_whole_ones_only_count() -> None:
    budget = Budget(3, 2)
    assert spent(budget, 10) == 3
    assert not budget.spend(10.25)  # Half a token.
    assert budget.spend(10.5)
    assert not budget.spend(10.5)
    assert spent(budget, 11.5) == 2


def test_tokens_never_exceed_the_burst() -> None:
    budget = Budget(3, 2)
    assert spent(budget, 0) == 3
    assert spent(budget, 1_000_000) == 3
    assert spent(budget, 1_000_001) == 2


@given(st.floats(1, 100), st.floats(0.1, 100), st.lists(st.floats(0, 10), min_size=1, max_size=200))
def test_spending_never_exceeds_burst_and_rate(burst: float, rate: float, pauses: list[float]) -> None:
    budget, now, count = Budget(burst, rate), 0.0, 0
    for pause in pauses:
        now += pause
        count += budget.spend(now)
        assert count <= burst + rate * now + 1e-6
