"""Survey all rows of the table of real proxies, and write the README's table: ``python -m tests.probe.real [WORD...]``.

Each with all checks of ``probe --quick``, one after another, in about nine minutes. With words, only the rows whose
title has one of them, and nothing is written; nor is it if a report says anything else than its row expects, which is
exit status 1.
"""

import sys
import tempfile
from pathlib import Path

import trio

from tests.probe.real.readme import README, line, title, written
from tests.probe.real.row import Row, told, unclear
from tests.probe.real.surveying import RIGHT, ROWS, Ours, ours, surveyed


async def main(words: list[str]) -> int:
    rows = [row for row in ROWS if not words or any(word in title(row) for word in words)]
    lines, wrong = [], 0
    async with ours() as behind:
        for row in rows:
            text, as_expected = await _one(row, behind)
            lines.append(text)
            wrong += not as_expected
            sys.stdout.write(text)
            sys.stdout.flush()
    if not words and not wrong:
        README.write_text(written(README.read_text(), lines))
    return 1 if wrong else 0


async def _one(row: Row, behind: Ours) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        report = await surveyed(row, behind, Path(folder))
    right = RIGHT[row.product]
    found, cannot = told(row, report, right), unclear(report)
    as_expected = found == list(row.says) and cannot == list(row.unclear)
    if not as_expected:
        sys.stdout.write(f"OTHERWISE THAN EXPECTED: {found}, {cannot}\n")
    return line(row, report, right), as_expected


if __name__ == "__main__":
    sys.exit(trio.run(main, sys.argv[1:]))
