"""An instrument: the name, unit and description of a metric; and the buckets of histograms."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from echo.telemetry.snapshot import Attributes, Combine, Distribution, Kind, Metric, Point

__all__ = ["HTTP_SECONDS", "SECONDS", "SIZES", "SOCKET_SECONDS", "Instrument"]

# The buckets of A66; those for HTTP are OpenTelemetry's.
SECONDS: Final = (
    *(0.0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01),
    *(0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
)
SIZES: Final = (0.0, *(float(2**power) for power in (10, 11, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32)))
HTTP_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
# WebSockets last from a moment to days.
SOCKET_SECONDS: Final = (0.1, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric.

    Attributes:
        name: The name in OpenTelemetry.
        unit: The unit, in UCUM.
        kind: ``counter``, ``gauge`` or ``histogram``.
        attributes: The names of its attributes.
        description: What it measures, in a sentence.
        boundaries: The bounds of a histogram's buckets.
        combine: How the gauges of several processes are combined.
    """

    name: str
    unit: str
    kind: Kind
    attributes: tuple[str, ...]
    description: str
    boundaries: tuple[float, ...] = ()
    combine: Combine = "sum"

    def metric(self, points: Iterable[Point] = (), distributions: Iterable[Distribution] = ()) -> Metric:
        """The metric with these values."""
        return Metric(
            self.name,
            self.unit,
            self.description,
            self.kind,
            list(points),
            list(distributions),
            self.boundaries,
            self.combine,
        )

    def under(self, key: Iterable[str]) -> Attributes:
        """Its attributes with these values, without empty ones, which are the same to Prometheus."""
        return tuple((name, value) for name, value in zip(self.attributes, key, strict=True) if value)

    def of(self, values: Iterable[tuple[Iterable[str], float]]) -> Metric:
        """The metric with these values, each for the values of its attributes."""
        return self.metric(Point(self.under(key), value) for key, value in values)

    def alone(self, value: float) -> Metric:
        """The metric with one value; for metrics without attributes."""
        return self.metric([Point((), value)])
