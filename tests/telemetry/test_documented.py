"""The README's table of metrics is what there is, and what is shown is in it."""

import re
from pathlib import Path

from echo.telemetry.names import INSTRUMENTS
from echo.telemetry.prometheus import prometheus_name

README = (Path(__file__).parents[2] / "README.md").read_text()


def rows() -> list[str]:
    """The table as it should be."""
    found = []
    for one in INSTRUMENTS:
        labels = ", ".join(f"`{name.replace('.', '_')}`" for name in one.attributes)
        name = prometheus_name(one.name, one.unit, one.kind)
        found.append(f"| `{name}` | {one.kind} | {labels} | {one.description} |")
    return found


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    table = re.search(r"^### Metrics\n.*?^\|(?: ---? \|)+\n((?:\|[^\n]*\n)+)", README, re.MULTILINE | re.DOTALL)
    assert table is not None
    assert table[1].splitlines() == rows()


def test_each_metric_has_a_name_of_its_own() -> None:
    names = [prometheus_name(one.name, one.unit, one.kind) for one in INSTRUMENTS]
    assert len(set(names)) == len(names) > 40


def test_descriptions_are_sentences() -> None:
    for one in INSTRUMENTS:
        assert re.fullmatch(r"[A-Z].*[.]", one.description), one.name
