"""The short form of ``just soak``: everything is held, on a small scale, and on a machine that may be busy."""

import pytest
import trio

from tests.soak.__main__ import SCENARIOS, main
from tests.soak.report import Report
from tests.soak.scale import SHORT, Scale


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
async def test_everything_promised_is_held(name: str) -> None:
    report = Report(quiet=True)
    await SCENARIOS[name](SHORT, report)
    assert not report.broken
    assert report.tables
    assert all(len(row) == len(table.columns) for table in report.tables for row in table.rows)


def test_what_was_not_held_is_named_by_the_last_lines_and_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def held(_: Scale, report: Report) -> None:
        await trio.lowlevel.checkpoint()
        report.table("Held", "what", "times").rows.append(["calls", 3])
        report.promise(True, "calls succeed")

    async def not_held(_: Scale, report: Report) -> None:
        await trio.lowlevel.checkpoint()
        report.promise(False, "sockets are closed")

    async def crashing(_: Scale, report: Report) -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("a bug of the tool's")

    for name, scenario in (("load", crashing), ("churn", not_held), ("pairs", held)):
        monkeypatch.setitem(SCENARIOS, name, scenario)
    assert main(["--short", "--only", "pairs"]) == 0
    told = capsys.readouterr().out
    assert "### Held\n\n| what | times |\n|---|---|\n| calls | 3 |\n" in told
    assert "Everything was held." in told
    assert main(["--short", "--only", "load", "--only", "churn", "--only", "pairs"]) == 1
    told = capsys.readouterr().out
    assert "| calls | 3 |" in told, "what comes after a failure is run all the same"
    assert "- load could not be run to its end: LookupError" in told
    assert "- sockets are closed" in told
