"""Renders a snapshot for Prometheus: in its text format, or in OpenMetrics, which adds a few lines.

Names follow OpenTelemetry's rules for Prometheus: dots become underscores, the unit's name is appended, counters end in
``_total``, and ``target_info`` has the resource's attributes. `echo.telemetry.names` says what a name means.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from echo.telemetry.snapshot import Attributes, Distribution, Kind, Metric, Point, Snapshot

__all__ = ["OPENMETRICS", "TEXT", "content_type", "prometheus_name", "render"]

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_UNITS: Final[Mapping[str, str]] = {"s": "seconds", "By": "bytes"}
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


def prometheus_name(name: str, unit: str, kind: Kind) -> str:
    """A metric's name in Prometheus; for a histogram, the prefix of its samples' names."""
    parts = [name.replace(".", "_")]
    if unit in _UNITS:
        parts.append(_UNITS[unit])
    if kind == "counter":
        parts.append("total")
    return "_".join(parts)


def content_type(*, openmetrics: bool) -> str:
    """The media type of `render`'s result."""
    return OPENMETRICS if openmetrics else TEXT


def render(snapshot: Snapshot, openmetrics: bool = False) -> bytes:
    """The snapshot in Prometheus's text format, or in OpenMetrics 1.0."""
    lines = list(_target_info(snapshot.resource, openmetrics=openmetrics))
    for metric in snapshot.metrics:
        name = prometheus_name(metric.name, metric.unit, metric.kind)
        # In OpenMetrics, a counter's family is named without the suffix.
        family = name.rpartition("_")[0] if openmetrics and metric.kind == "counter" else name
        lines.append(f"# HELP {family} {_help(metric.description, openmetrics=openmetrics)}")
        lines.append(f"# TYPE {family} {metric.kind}")
        if openmetrics and metric.unit in _UNITS:
            lines.append(f"# UNIT {family} {_UNITS[metric.unit]}")
        if metric.kind == "histogram":
            lines.extend(_histogram(name, metric))
        else:
            lines.extend(_points(name, metric.points))
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _target_info(resource: Attributes, *, openmetrics: bool) -> Iterator[str]:
    family, kind = ("target", "info") if openmetrics else ("target_info", "gauge")
    yield f"# HELP {family} The process that measured this."
    yield f"# TYPE {family} {kind}"
    yield f"target_info{_labels(resource)} 1"


def _points(name: str, points: Iterable[Point]) -> Iterator[str]:
    for point in points:
        yield f"{name}{_labels(point.attributes)} {_number(point.value)}"


def _histogram(name: str, metric: Metric) -> Iterator[str]:
    bounds = [*map(_float, metric.boundaries), "+Inf"]
    for one in metric.distributions:
        yield from _distribution(name, one, bounds)


def _distribution(name: str, one: Distribution, bounds: list[str]) -> Iterator[str]:
    labels = _labels(one.attributes)
    head = f"{name}_bucket{{{labels[1:-1]}," if labels else f"{name}_bucket{{"
    so_far = 0
    for bound, count in zip(bounds, one.counts, strict=True):
        so_far += count
        yield f'{head}le="{bound}"}} {so_far}'
    yield f"{name}_count{labels} {so_far}"
    yield f"{name}_sum{labels} {_number(one.total)}"


def _labels(attributes: Attributes) -> str:
    """The attributes as labels; empty if there are none."""
    if not attributes:
        return ""
    return "{" + ",".join(f'{name.replace(".", "_")}="{value.translate(_ESCAPES)}"' for name, value in attributes) + "}"


def _help(text: str, *, openmetrics: bool) -> str:
    return text.translate(_ESCAPES if openmetrics else _HELP_ESCAPES)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else _float(value)


def _float(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))
