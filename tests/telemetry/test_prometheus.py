"""The text for Prometheus, as its own client library parses it."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from echo.telemetry.prometheus import prometheus_name, render
from echo.telemetry.snapshot import Distribution, Kind, Metric, Point, Snapshot

FORMATS: list[tuple[bool, Callable[[str], Iterable[Family]]]] = [(False, read_text), (True, read_openmetrics)]
both = pytest.mark.parametrize(("openmetrics", "read"), FORMATS, ids=["text", "openmetrics"])

HELLO = (("grpc.method", "a.B/C"), ("grpc.status", "OK"))


def snapshot(*metrics: Metric) -> Snapshot:
    return Snapshot((("service.name", "echo-grpc"), ("service.version", "1")), 1.0, 2.0, list(metrics))


def samples(families: Iterable[Family]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("grpc.server.call.started", "{call}", "counter", "grpc_server_call_started_total"),
        ("grpc.server.call.duration", "s", "histogram", "grpc_server_call_duration_seconds"),
        (
            "grpc.server.call.sent_total_compressed_message_size",
            "By",
            "histogram",
            "grpc_server_call_sent_total_compressed_message_size_bytes",
        ),
        ("http.server.active_requests", "{request}", "gauge", "http_server_active_requests"),
        ("process.cpu", "s", "counter", "process_cpu_seconds_total"),
    ],
)
def test_names_are_those_of_opentelemetrys_exporter(name: str, unit: str, kind: Kind, expected: str) -> None:
    assert prometheus_name(name, unit, kind) == expected


@both
def test_counters_gauges_and_who_measured(openmetrics: bool, read: Callable[[str], Iterable[Family]]) -> None:
    shown = render(
        snapshot(
            Metric("calls", "{call}", "All calls.", "counter", [Point(HELLO, 3)]),
            Metric("queue", "By", "What waits.", "gauge", [Point((), 2.5)]),
        ),
        openmetrics,
    )
    families = {family.name: family for family in read(shown.decode())}
    assert samples(families.values()) == {
        ("target_info", (("service_name", "echo-grpc"), ("service_version", "1"))): 1,
        ("calls_total", (("grpc_method", "a.B/C"), ("grpc_status", "OK"))): 3,
        ("queue_bytes", ()): 2.5,
    }
    assert (families["calls"].type, families["calls"].documentation) == ("counter", "All calls.")
    assert (families["queue_bytes"].type, families["queue_bytes"].unit) == ("gauge", "bytes" if openmetrics else "")
    assert families["target" if openmetrics else "target_info"].type == ("info" if openmetrics else "gauge")


@both
def test_buckets_count_everything_below_them(openmetrics: bool, read: Callable[[str], Iterable[Family]]) -> None:
    metric = Metric(
        "t", "s", "T.", "histogram", distributions=[Distribution(HELLO, [1, 0, 2, 4], 9.5)], boundaries=(0.0, 1e-05, 2)
    )
    found = samples(read(render(snapshot(metric), openmetrics).decode()))
    labels = (("grpc_method", "a.B/C"), ("grpc_status", "OK"))
    buckets = {key[1][-1][1]: value for key, value in found.items() if key[0] == "t_seconds_bucket"}
    assert buckets == {"0.0": 1, "1e-05": 1, "2.0": 3, "+Inf": 7}
    assert found["t_seconds_count", labels] == 7
    assert found["t_seconds_sum", labels] == 9.5


@both
@given(value=st.text(), text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029")))
def test_no_text_forges_a_sample(
    openmetrics: bool, read: Callable[[str], Iterable[Family]], value: str, text: str
) -> None:
    description = " ".join(text.split()) or "-"
    shown = render(snapshot(Metric("x", "", description, "gauge", [Point((("a", value),), 1)])), openmetrics)
    found = {key: number for key, number in samples(read(shown.decode())).items() if key[0] != "target_info"}
    assert found == {("x", (("a", value),)): 1}


def test_openmetrics_says_where_it_ends() -> None:
    assert render(snapshot(), openmetrics=True).endswith(b"\n# EOF\n")
    assert b"# EOF" not in render(snapshot())
