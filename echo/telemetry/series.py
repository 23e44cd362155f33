"""Accumulators: what a metric has come to under one set of attributes, and tables of them that peers cannot fill."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from echo.telemetry.names import Instrument
from echo.telemetry.snapshot import Attributes, Distribution, Metric

__all__ = ["MOST", "Histogram", "Table", "attributes", "histograms"]

T = TypeVar("T")
K = TypeVar("K")

MOST: Final = 1_000  # Sets of attributes of one metric; what comes beyond them is counted as one.
OVERFLOW: Final[Attributes] = (("otel.metric.overflow", "true"),)


class Histogram:
    """Counts values by size.

    Attributes:
        boundaries: The upper bounds of its buckets, each included.
        counts: How many values were in each; in the last one, those above all bounds.
        total: Their sum.
    """

    __slots__ = ("boundaries", "counts", "total")

    def __init__(self, boundaries: tuple[float, ...]) -> None:
        self.boundaries = boundaries
        self.counts = [0] * (len(boundaries) + 1)
        self.total = 0.0

    def record(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.boundaries, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def distribution(self, under: Attributes) -> Distribution:
        """What it holds now."""
        return Distribution(under, list(self.counts), self.total)


class Table(Generic[K, T]):
    """What there is for each of some keys, made when a key first comes; for all beyond the first `MOST`, one thing."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._found: dict[K, T] = {}
        self._rest: T | None = None

    def __getitem__(self, key: K) -> T:
        found = self._found.get(key)
        return self._new(key) if found is None else found

    def _new(self, key: K) -> T:
        if len(self._found) < MOST:
            found = self._found[key] = self._make()
            return found
        if self._rest is None:
            self._rest = self._make()
        return self._rest

    def items(self, name: Callable[[K], Attributes]) -> Iterator[tuple[Attributes, T]]:
        """What there is, under the attributes that ``name`` makes of its key."""
        for key, found in self._found.items():
            yield name(key), found
        if self._rest is not None:
            yield OVERFLOW, self._rest


def attributes(instrument: Instrument, values: Iterable[str]) -> Attributes:
    """The instrument's attributes with these values, without those that are empty: Prometheus knows no difference."""
    return tuple((name, value) for name, value in zip(instrument.attributes, values, strict=True) if value)


def histograms(instrument: Instrument, found: Iterable[tuple[Attributes, Histogram]]) -> Metric:
    """The instrument with what these hold."""
    return instrument.metric(distributions=[one.distribution(under) for under, one in found])
