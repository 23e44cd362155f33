"""How many CPUs a process may use."""

import os
from pathlib import Path

import pytest

from echo.workers import usable_cpus


@pytest.mark.parametrize(
    ("quota", "number"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("0 100000", 1),
        ("9900000 100000", 8),
        ("0 0", 8),
        ("", 8),
        ("nonsense", 8),
    ],
)
def test_a_quota_limits_the_cpus(quota: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cpus(file) == number


def test_without_a_quota_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert usable_cpus(tmp_path / "missing") == 1
