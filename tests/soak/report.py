"""The results: a table for each scenario, and the list of promises that were not kept."""

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Cells = Sequence[object]


@dataclass
class Table:
    """One scenario's results, in Markdown when printed."""

    title: str
    columns: Sequence[str]
    rows: list[Cells] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"### {self.title}", "", _line(self.columns), "|" + "---|" * len(self.columns)]
        return "\n".join([*lines, *map(_line, self.rows)])


@dataclass
class Report:
    """All tables, and what was promised and not held. ``quiet`` shows no progress."""

    quiet: bool = False
    tables: list[Table] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def table(self, title: str, *columns: str) -> Table:
        """Begin a table."""
        found = Table(title, columns)
        self.tables.append(found)
        return found

    def promise(self, held: bool, what: str) -> None:
        """Note that something was not as it should be."""
        if not held:
            self.broken.append(what)
            self.progress(f"NOT HELD: {what}", "\n")

    def progress(self, text: str, end: str = "") -> None:
        """Show what is being done, on one line of standard error that is written over."""
        if not self.quiet:
            print(f"\r{text}".ljust(100), end=end, file=sys.stderr, flush=True)

    def __str__(self) -> str:
        verdict = ["Everything was held."] if not self.broken else ["Not held:", *(f"- {what}" for what in self.broken)]
        return "\n\n".join([*map(str, self.tables), "\n".join(verdict)])


def _line(cells: Cells) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


NOTHING: Final = "nothing"


def counts(things: Mapping[str, int]) -> str:
    """Such as ``3 tasks, 1 sockets``."""
    return ", ".join(f"{count:,} {what}" for what, count in sorted(things.items())) or NOTHING


def milliseconds(seconds: Iterable[float]) -> str:
    """Median and maximum."""
    found = sorted(seconds)
    if not found:
        return "-"
    return f"{statistics.median(found) * 1000:,.0f} / {found[-1] * 1000:,.0f}"


def megabytes(size: int) -> str:
    return f"{size / 2**20:.1f}"
