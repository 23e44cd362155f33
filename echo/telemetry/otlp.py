"""Snapshots pushed by OTLP over HTTP, as OpenTelemetry's standard variables say (``OTEL_EXPORTER_OTLP_ENDPOINT``, ...).

A snapshot becomes the SDK's own `MetricsData`, which the SDK's exporter sends, in a thread: it knows the variables, and
retries as OTLP wants. One export at a time; one that takes too long is left alone, and the next one tells all the same,
since everything counts from the start of the process. This module needs the extra ``telemetry``.
"""

import logging
from collections.abc import Iterable
from functools import partial
from typing import Final

import anyio
from anyio import CapacityLimiter, to_thread
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as SdkMetric
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from echo.telemetry.endpoint import Collect
from echo.telemetry.snapshot import Metric, Snapshot

__all__ = ["metrics_data", "push_metrics"]

log = logging.getLogger(__name__)

SCOPE: Final = InstrumentationScope("echo")
LAST_WORDS: Final = 2.0  # Seconds that the last export may take, when the program ends.


async def push_metrics(collect: Collect, interval: float, timeout: float) -> None:
    """Push what is collected until cancelled, and once more then.

    Args:
        collect: Gives it.
        interval: Seconds between pushes.
        timeout: Seconds that one may take.
    """
    exporter = OTLPMetricExporter()
    limiter = CapacityLimiter(1)
    try:
        while True:
            await anyio.sleep(interval)
            await _push(exporter, limiter, collect, timeout)
    finally:
        with anyio.CancelScope(shield=True):  # It is bounded, and there is no later moment.
            await _push(exporter, limiter, collect, min(LAST_WORDS, timeout))
        exporter.shutdown(timeout_millis=0)


async def _push(exporter: OTLPMetricExporter, limiter: CapacityLimiter, collect: Collect, timeout: float) -> None:
    with anyio.move_on_after(timeout) as scope:
        try:
            data = metrics_data(await collect())
            export = partial(exporter.export, data, timeout_millis=timeout * 1000)
            await to_thread.run_sync(export, abandon_on_cancel=True, limiter=limiter)  # Which logs what goes wrong.
        except Exception:
            log.exception("metrics could not be pushed")
    if scope.cancelled_caught:
        log.warning("metrics could not be pushed within %g s", timeout)


def metrics_data(snapshot: Snapshot) -> MetricsData:
    """The snapshot as OpenTelemetry's SDK has it. What its variables say of the resource wins over what we say."""
    resource = Resource(dict(snapshot.resource)).merge(OTELResourceDetector().detect())
    began, now = (round(seconds * 1e9) for seconds in (snapshot.started, snapshot.taken))
    metrics = [_metric(metric, began, now) for metric in snapshot.metrics]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(SCOPE, metrics, "")], "")])


def _metric(metric: Metric, began: int, now: int) -> SdkMetric:
    cumulative = AggregationTemporality.CUMULATIVE
    data: Sum | Gauge | Histogram
    if metric.kind == "histogram":
        data = Histogram(list(_distributions(metric, began, now)), cumulative)
    elif metric.kind == "counter" or metric.combine == "sum":
        points = [NumberDataPoint(dict(point.attributes), began, now, point.value) for point in metric.points]
        data = Sum(points, cumulative, is_monotonic=metric.kind == "counter")
    else:
        data = Gauge([NumberDataPoint(dict(point.attributes), began, now, point.value) for point in metric.points])
    return SdkMetric(metric.name, metric.description, metric.unit, data)


def _distributions(metric: Metric, began: int, now: int) -> Iterable[HistogramDataPoint]:
    for one in metric.distributions:
        yield HistogramDataPoint(
            attributes=dict(one.attributes),
            start_time_unix_nano=began,
            time_unix_nano=now,
            count=sum(one.counts),
            sum=one.total,
            bucket_counts=one.counts,
            explicit_bounds=metric.boundaries,
            min=None,  # type: ignore[arg-type]  # Optional in OTLP, and not known here.
            max=None,  # type: ignore[arg-type]
        )
