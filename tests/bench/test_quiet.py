"""Who else used the machine while the benchmark ran."""

from functools import partial

import pytest

from tests.bench import quiet
from tests.bench.quiet import Others


def measured(monkeypatch: pytest.MonkeyPatch, *, seconds: float, machine: float, ours: float) -> float:
    """What is found when these times passed, and CPU time was used, from a start at 100 seconds of each."""
    for name, passed in (("monotonic", seconds), ("machine", machine), ("ours", ours)):
        clock = iter([100.0, 100.0 + passed])
        monkeypatch.setattr(quiet, name, partial(next, clock))
    with Others() as others:
        pass
    return others.cores


def test_what_others_used_is_what_was_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, seconds=10, machine=18, ours=12) == pytest.approx(0.6)


def test_clocks_of_different_grain_never_make_it_less_than_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, seconds=10, machine=11.99, ours=12) == 0.0


def test_the_machine_has_used_at_least_what_we_have() -> None:
    assert 0 < quiet.ours() <= quiet.machine()
