"""The short form of ``just soak``: everything is held, on a small scale; a machine that is busy otherwise may be slow."""

import pytest

from tests.soak.__main__ import SCENARIOS
from tests.soak.report import Report
from tests.soak.scale import SHORT


@pytest.mark.parametrize("name", SCENARIOS)
async def test_everything_promised_is_held(name: str) -> None:
    report = Report(quiet=True)
    await SCENARIOS[name](SHORT, report)
    assert not report.broken
    assert report.tables
    assert all(len(row) == len(table.columns) for table in report.tables for row in table.rows)
