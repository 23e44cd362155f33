"""The metrics of the process, in circumstances that it shares with the whole machine."""

from pathlib import Path

import pytest

from echo.telemetry import names
from echo.telemetry.process import process_metrics
from tests.support.accepting import no_descriptors


def started() -> float:
    (metric,) = [metric for metric in process_metrics() if metric.name == names.PROCESS_START.name]
    return metric.points[0].value


def test_the_process_has_not_restarted_when_the_clock_of_the_machine_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = started()
    (tmp_path / "stat").write_text("btime 1000000000\n")
    monkeypatch.setattr("echo.telemetry.process._PROC", tmp_path)
    assert started() == before


def test_the_process_has_not_restarted_when_all_its_descriptors_are_in_use() -> None:
    before = started()
    give_back = no_descriptors()
    try:
        assert started() == before
    finally:
        give_back()
