"""Metrics pushed by OTLP: when, what arrives, and that a collector that does not answer delays nothing."""

import gzip
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from echo.configuration import SettingsError
from echo.pb.com.gopay.echo import Message, Response
from echo.rpc import Cardinality, open_channel
from echo.telemetry.instrument import SECONDS
from echo.telemetry.push import Push, wanted_push
from tests.support.process import PATIENCE, Echo, running
from tests.support.tcp import reserved_port

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
SERVE = ["serve", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "a"}, None),
        (ENDPOINT, Push(60, 30)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/v1/metrics"}, Push(60, 30)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, None),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, Push(60, 30)),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, None),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "prometheus"}, None),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "prometheus, otlp"}, Push(60, 30)),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, None),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, Push(60, 30)),
        (
            {
                **ENDPOINT,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
            },
            Push(60, 30),
        ),
        (
            {**ENDPOINT, "OTEL_METRIC_EXPORT_INTERVAL": "1500", "OTEL_METRIC_EXPORT_TIMEOUT": "500"},
            Push(1.5, 0.5),
        ),
    ],
)
def test_the_standard_variables_say_whether_and_how_often(environ: dict[str, str], expected: Push | None) -> None:
    assert wanted_push(environ) == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "-1"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "9" * 5_000),
    ],
)
def test_what_cannot_be_done_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        wanted_push({**ENDPOINT, variable: value})


class Collector(ThreadingHTTPServer):
    """Receives OTLP over HTTP.

    Attributes:
        received: What came, newest last.
        paths: Where to.
        mute: Answer nothing.
    """

    daemon_threads = True

    def __init__(self, *, mute: bool) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received: list[ExportMetricsServiceRequest] = []
        self.paths: set[str] = set()
        self.asked = threading.Event()
        self.mute = mute
        self.ended = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def points(self) -> dict[str, Metric]:
        """The metrics of the newest, by name."""
        (resource,) = self.received[-1].resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}

    def resource(self) -> dict[str, str]:
        (resource,) = self.received[-1].resource_metrics
        return {pair.key: pair.value.string_value for pair in resource.resource.attributes}


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.paths.add(self.path)
        self.server.asked.set()
        if self.server.mute:
            self.server.ended.wait(PATIENCE)
            return
        self.server.received.append(ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to be seen on standard error."""


@contextmanager
def collector(*, mute: bool = False) -> Iterator[Collector]:
    with Collector(mute=mute) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


async def call(echo: Echo) -> None:
    async with (
        open_channel("127.0.0.1", await echo.grpc_port()) as channel,
        channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, Response) as stream,
    ):
        await stream.send_message(Message("hi"), end=True)
        assert await stream.recv_message() is not None


async def test_what_was_counted_arrives_at_a_collector_and_once_more_at_the_end() -> None:
    with collector() as server:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.port}",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
            "OTEL_SERVICE_NAME": "mine",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        async with running(*SERVE, **environ) as echo:
            await call(echo)
            with trio.fail_after(PATIENCE):
                while not server.received:
                    await trio.to_thread.run_sync(server.asked.wait, 1)
            await call(echo)
            echo.send(signal.SIGTERM)
            assert await echo.status() == 0
        metrics = server.points()
    assert server.paths == {"/v1/metrics"}
    resource = server.resource()
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("mine", "test")
    assert "service.instance.id" in resource
    started = metrics["grpc.server.call.started"]
    assert (started.unit, started.sum.is_monotonic, started.sum.aggregation_temporality) == ("{call}", True, 2)
    values = {point.attributes[0].value.string_value: point.as_int for point in started.sum.data_points}
    assert {name: value for name, value in values.items() if value} == {"com.gopay.echo.Server/GetReply": 2}
    (duration,) = metrics["grpc.server.call.duration"].histogram.data_points
    assert (duration.count, sum(duration.bucket_counts)) == (2, 2)
    assert list(duration.explicit_bounds) == list(SECONDS)
    assert duration.sum > 0
    assert not duration.HasField("max")
    assert duration.time_unix_nano > duration.start_time_unix_nano > 1.7e18
    active = metrics["echo.grpc.server.active_calls"].sum
    assert [point.as_int for point in active.data_points] == [0]
    assert not active.is_monotonic
    assert metrics["process.start_time"].gauge.data_points[0].as_double > 1.7e9


@pytest.mark.slow
async def test_a_collector_that_never_answers_holds_up_nothing() -> None:
    with collector(mute=True) as server:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.port}",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
            "OTEL_METRIC_EXPORT_TIMEOUT": "300",
            "SHUTDOWN_GRACE": "1h",  # So that only what is to be shown ends it in time.
        }
        async with running(*SERVE, **environ) as echo:
            await trio.to_thread.run_sync(server.asked.wait, PATIENCE)
            await call(echo)
            await echo.logged("metrics could not be pushed within 0.3 s")
            await call(echo)
            echo.send(signal.SIGTERM)
            assert await echo.status() == 0


NO_CERTIFICATE = ["--grpc-server-cert", "/missing.pem", "--grpc-server-key", "/missing.pem"]


@pytest.mark.parametrize(
    "flags",
    [["--grpc-server-bind", "192.0.2.1"], NO_CERTIFICATE, [*NO_CERTIFICATE, "--workers", "2"]],
    ids=["address", "certificate", "certificate of workers"],
)
async def test_a_program_that_cannot_start_says_so_in_one_line_though_the_collector_is_away(flags: list[str]) -> None:
    with reserved_port() as away:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{away}"}
        async with running(*SERVE, *flags, **environ) as echo:
            assert await echo.status() == 2
    assert re.fullmatch(r"echo: .*\n", echo.stderr)


async def test_what_cannot_be_pushed_is_a_warning_and_the_program_runs() -> None:
    async with running(*SERVE, **ENDPOINT, OTEL_TRACES_EXPORTER="none", OTEL_EXPORTER_OTLP_PROTOCOL="grpc") as echo:
        await echo.logged("OTEL_EXPORTER_OTLP_PROTOCOL: metrics are pushed by http/protobuf, not by 'grpc'")
        await call(echo)


async def test_what_only_the_sdk_refuses_is_logged_and_the_program_runs() -> None:
    provider = {"OTEL_PYTHON_EXPORTER_OTLP_HTTP_METRICS_CREDENTIAL_PROVIDER": "missing"}
    async with running(*SERVE, **ENDPOINT, **provider, OTEL_TRACES_EXPORTER="none") as echo:
        await echo.logged("metrics are not pushed")
        await call(echo)


async def test_a_faulty_resource_attribute_is_reported_at_the_start_not_with_each_push() -> None:
    with collector() as server:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.port}",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "20",
            "OTEL_RESOURCE_ATTRIBUTES": "faulty",
        }
        async with running(*SERVE, **environ) as echo:
            for _ in range(5):
                await trio.to_thread.run_sync(server.asked.wait, PATIENCE)
                server.asked.clear()
            echo.send(signal.SIGTERM)
            assert await echo.status() == 0
    assert echo.stderr.count("faulty") < 5
