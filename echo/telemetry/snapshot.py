"""All measurements at one moment, as plain data that is sent between processes, added up, and rendered.

Counters and histograms count from the start of the process. `merge` adds up snapshots of several processes, point by
point. Of a process that has ended, `cumulative` keeps its counters and histograms, or the sums would go down. Names,
units and attributes are OpenTelemetry's; `echo.telemetry.prometheus` knows their names in Prometheus.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["Attributes", "Distribution", "Metric", "Point", "Snapshot", "cumulative", "decode", "encode", "merge"]

Kind = Literal["counter", "gauge", "histogram"]
Combine = Literal["sum", "min", "max"]

Attributes: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, in the order of the instrument's attributes."""


class Point(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The value of a counter or a gauge for one set of attributes."""

    attributes: Attributes
    value: float


class Distribution(msgspec.Struct, frozen=True, array_like=True):
    """The contents of a histogram for one set of attributes.

    Attributes:
        counts: The number of values in each bucket; the last bucket is above the highest boundary.
        total: The sum of the values.
    """

    attributes: Attributes
    counts: list[int]
    total: float


class Metric(msgspec.Struct, frozen=True):
    """One instrument and its points.

    Attributes:
        name: The name in OpenTelemetry, such as ``grpc.server.call.duration``.
        unit: The unit in UCUM: ``s``, ``By``, ``{call}``.
        description: What it measures.
        kind: The kind; counters and histograms only grow.
        points: The values of a counter or gauge.
        distributions: The contents of a histogram.
        boundaries: The upper bounds of a histogram's buckets, inclusive.
        combine: How the gauges of several processes are combined.
    """

    name: str
    unit: str
    description: str
    kind: Kind
    points: list[Point] = []
    distributions: list[Distribution] = []
    boundaries: tuple[float, ...] = ()
    combine: Combine = "sum"


class Snapshot(msgspec.Struct, frozen=True):
    """All measurements of a process.

    Attributes:
        resource: Attributes of the process, such as ``service.name``.
        started: When counting began, in seconds since 1970.
        taken: When the snapshot was taken.
        metrics: The metrics, in the order in which they are shown.
    """

    resource: Attributes
    started: float
    taken: float
    metrics: list[Metric]


_COMBINED: Final[dict[Combine, Callable[[list[float]], float]]] = {"sum": sum, "min": min, "max": max}

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """Encode a snapshot for another process of the same version."""
    return _encoder.encode(snapshot)


def decode(data: bytes) -> Snapshot:
    """Decode a snapshot.

    Raises:
        msgspec.MsgspecError: The data is not a snapshot.
    """
    return _decoder.decode(data)


def merge(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Add up the snapshots of several processes; the resource keeps the attributes that all have in common.

    Raises:
        ValueError: There are no snapshots, or two have different buckets for the same histogram.
    """
    if not snapshots:
        raise ValueError("there is no snapshot to merge")
    if len(snapshots) == 1:
        return snapshots[0]
    by_name: dict[str, list[Metric]] = {}
    for snapshot in snapshots:
        for metric in snapshot.metrics:
            by_name.setdefault(metric.name, []).append(metric)
    first, *others = snapshots
    return Snapshot(
        resource=tuple(pair for pair in first.resource if all(pair in other.resource for other in others)),
        started=min(snapshot.started for snapshot in snapshots),
        taken=max(snapshot.taken for snapshot in snapshots),
        metrics=[_merged(metrics) for metrics in by_name.values()],
    )


def cumulative(snapshot: Snapshot) -> Snapshot:
    """The counters and histograms of a process that has ended, without its gauges."""
    kept = [metric for metric in snapshot.metrics if metric.kind != "gauge"]
    return msgspec.structs.replace(snapshot, metrics=kept)


def _merged(metrics: list[Metric]) -> Metric:
    first = metrics[0]
    if len(metrics) == 1:
        return first
    if any(metric.boundaries != first.boundaries or metric.kind != first.kind for metric in metrics):
        raise ValueError(f"{first.name} has different forms in different snapshots")
    if first.kind == "histogram":
        return msgspec.structs.replace(first, distributions=_added(metrics))
    combine = _COMBINED[first.combine]
    values: dict[Attributes, list[float]] = {}
    for metric in metrics:
        for point in metric.points:
            values.setdefault(point.attributes, []).append(point.value)
    return msgspec.structs.replace(first, points=[Point(key, combine(found)) for key, found in values.items()])


def _added(metrics: Iterable[Metric]) -> list[Distribution]:
    found: dict[Attributes, Distribution] = {}
    for metric in metrics:
        for one in metric.distributions:
            other = found.get(one.attributes)
            if other is not None:
                counts = [mine + theirs for mine, theirs in zip(other.counts, one.counts, strict=True)]
                one = Distribution(one.attributes, counts, other.total + one.total)
            found[one.attributes] = one
    return list(found.values())
