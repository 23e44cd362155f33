"""The page lists every metric under its name in Prometheus."""

import re

from docs.generated import metrics
from echo.telemetry.instrument import HTTP_SECONDS, SECONDS, SIZES
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


def test_buckets_ascend() -> None:
    for one in INSTRUMENTS:
        assert list(one.boundaries) == sorted(set(one.boundaries)), one.name
        assert all(bound >= 0 for bound in one.boundaries), one.name


def test_buckets_are_those_that_dashboards_know() -> None:
    """Of gRPC's proposal A66, and of OpenTelemetry's conventions for HTTP."""
    milliseconds = "0 0.01 0.05 0.1 0.3 0.6 0.8 1 2 3 4 5 6 8 10 13 16 20 25 30 40 50 65 80 100 130 160 200 250 300 400"
    milliseconds += " 500 650 800 1000 2000 5000 10000 20000 50000 100000"
    assert list(SECONDS) == [float(each) / 1000 for each in milliseconds.split()]
    kibibytes = "0 1 2 4 16 64 256 1024 4096 16384 65536 262144 1048576 4194304"
    assert list(SIZES) == [int(each) * 1024 for each in kibibytes.split()]
    milliseconds = "5 10 25 50 75 100 250 500 750 1000 2500 5000 7500 10000"
    assert list(HTTP_SECONDS) == [int(each) / 1000 for each in milliseconds.split()]
