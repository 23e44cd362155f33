"""OpenTelemetry's variables: what turns tracing on, what is refused, and in which words."""

import importlib.util
import sys

import pytest

from echo.settings import SettingsError
from echo.telemetry.tracing import check_tracing
from echo.telemetry.tracing.environment import CollectorSettings, TracingSettings, read_environment

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "mine", "OTEL_TRACES_SAMPLER": "always_on"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "True"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
    ],
)
def test_what_does_not_ask_for_traces_gets_none(environ: dict[str, str]) -> None:
    assert read_environment(environ) is None


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        (ENDPOINT, "http://collector:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector/otlp/"}, "https://collector/otlp/v1/traces"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces/as/it/is"}, "http://traces/as/it/is"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
    ],
)
def test_an_endpoint_or_an_exporter_turns_tracing_on(environ: dict[str, str], url: str) -> None:
    asked = read_environment(environ)
    assert asked is not None
    assert asked.collector == CollectorSettings(url)


def test_the_console_needs_no_endpoint() -> None:
    assert read_environment({"OTEL_TRACES_EXPORTER": "console"}) == TracingSettings("OTEL_TRACES_EXPORTER", None)


def test_what_is_for_traces_wins_over_what_is_for_all() -> None:
    asked = read_environment(
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "Authorization=Bearer%20x, b=2",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_PROPAGATORS": "tracecontext, b3",
            "OTEL_TRACES_SAMPLER": "traceidratio",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
        }
    )
    assert asked is not None
    assert asked.collector is not None
    assert asked.collector.headers == (("authorization", "Bearer x"), ("b", "2"))
    assert (asked.collector.timeout, asked.collector.gzip) == (5.0, True)
    assert asked.propagators == {"tracecontext", "b3"}
    assert (asked.most, asked.batch, asked.delay, asked.sampler) == (100, 100, 0.25, "traceidratio")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "'zipkin' is not one of otlp, console, none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "'grpc': spans are sent by http/protobuf only"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "'collector:4317' is not a URL"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[", "is not a URL"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector", "is not a URL"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "must be name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0d%0ac: d", "the value of a must be printable ASCII"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "is not a positive number of seconds"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "is not one of gzip, none"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "'grpc': spans are sent by http/protobuf only"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "secret", "must be name=value"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "soon", "is not a positive number of seconds"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd", "is not one of gzip, none"),
        ("OTEL_PROPAGATORS", "jaeger", "'jaeger' is not one of tracecontext"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "is not a positive number"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0" * 11 + "1" * 5_000, "is not a positive number"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line_that_names_the_variable(
    variable: str, value: str, words: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read_environment({**ENDPOINT, variable: value})
    said = str(refused.value)
    assert said.startswith(f"{variable}: ")
    assert words in said
    assert "\n" not in said
    assert "secret" not in said


def test_traces_without_the_extra_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, "opentelemetry.sdk", raising=False)
    monkeypatch.setattr("echo.extras.find_spec", lambda name: None if name == "opentelemetry.sdk" else find(name))
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT: traces need the extra 'telemetry'"):
        check_tracing(ENDPOINT)
    assert check_tracing({}) is None
