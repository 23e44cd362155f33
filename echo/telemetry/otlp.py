"""Pushes snapshots by OTLP over HTTP, configured by OpenTelemetry's variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ...).

A snapshot is converted to the SDK's `MetricsData`, and the SDK's exporter sends it in a thread: it knows the variables,
and retries as OTLP requires. There is one export at a time. One that takes too long is abandoned; the next one contains
everything anyway, because all metrics count from the start of the process. This module needs the extra ``telemetry``.
"""

import logging
from collections.abc import Callable, Iterable
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
LAST_EXPORT_TIMEOUT: Final = 2.0  # Seconds for the last export, when the program ends.


async def push_metrics(collect: Collect, interval: float, timeout: float, last: Callable[[], bool]) -> None:
    """Push snapshots until cancelled, and once more then.

    Args:
        collect: Returns a snapshot.
        interval: Seconds between pushes.
        timeout: Seconds for one push.
        last: Called when cancelled: whether to push once more.
    """
    try:
        exporter = OTLPMetricExporter()
        given = OTELResourceDetector().detect()
    except Exception:
        log.exception("metrics are not pushed")
        return
    limiter = CapacityLimiter(1)
    try:
        while True:
            await anyio.sleep(interval)
            await _push(exporter, given, limiter, collect, timeout)
    finally:
        if last():
            with anyio.CancelScope(shield=True):  # Shielded, because there is no later moment; it is bounded.
                await _push(exporter, given, limiter, collect, min(LAST_EXPORT_TIMEOUT, timeout))
        exporter.shutdown(timeout_millis=0)


async def _push(
    exporter: OTLPMetricExporter, given: Resource, limiter: CapacityLimiter, collect: Collect, timeout: float
) -> None:
    with anyio.move_on_after(timeout) as scope:
        try:
            data = metrics_data(await collect(), given)
            export = partial(exporter.export, data, timeout_millis=timeout * 1000)
            await to_thread.run_sync(export, abandon_on_cancel=True, limiter=limiter)  # It logs failures.
        except Exception:
            log.exception("metrics could not be pushed")
    if scope.cancelled_caught:
        log.warning("metrics could not be pushed within %g s", timeout)


def metrics_data(snapshot: Snapshot, given: Resource) -> MetricsData:
    """Convert a snapshot to the SDK's classes. The resource attributes that are given override ours."""
    resource = Resource(dict(snapshot.resource)).merge(given)
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
