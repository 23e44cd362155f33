"""The page lists every metric under its name in Prometheus."""

import re

from docs.generated import metrics
from echo.telemetry.names import INSTRUMENTS
from echo.telemetry.prometheus import prometheus_name


def test_the_page_lists_every_metric() -> None:
    table = list(metrics())
    for one in INSTRUMENTS:
        labels = [name.replace(".", "_") for name in one.attributes]
        (row,) = [row for row in table if f"`{prometheus_name(one.name, one.unit, one.kind)}`" in row]
        assert one.kind in row
        assert one.description in row
        assert all(f"`{label}`" in row for label in labels)


def test_each_metric_has_a_name_of_its_own() -> None:
    names = [prometheus_name(one.name, one.unit, one.kind) for one in INSTRUMENTS]
    assert len(set(names)) == len(names) > 40


def test_descriptions_are_sentences() -> None:
    for one in INSTRUMENTS:
        assert re.fullmatch(r"[A-Z].*[.]", one.description), one.name
