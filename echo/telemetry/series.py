"""Accumulators: a metric's values for one set of attributes, and bounded tables of them."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from echo.telemetry.instrument import Instrument
from echo.telemetry.snapshot import Attributes, Distribution, Metric

__all__ = ["MOST", "Histogram", "Table", "histograms"]

T = TypeVar("T")
K = TypeVar("K")

MOST: Final = 1_000  # Sets of attributes per metric; all further ones are counted together.
OVERFLOW: Final[Attributes] = (("otel.metric.overflow", "true"),)


class Histogram:
    """Counts values by size.

    Attributes:
        boundaries: The upper bounds of its buckets, inclusive.
        counts: The number of values in each bucket; the last one has those above all bounds.
        total: The sum of the values.
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
        """The number of values."""
        return sum(self.counts)

    def distribution(self, under: Attributes) -> Distribution:
        """Its current contents."""
        return Distribution(under, list(self.counts), self.total)


class Table(Generic[K, T]):
    """A value for each key, created when the key is first used; all keys beyond the first `MOST` share one value."""

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
        """The values, with the attributes that ``name`` makes from their keys."""
        for key, found in self._found.items():
            yield name(key), found
        if self._rest is not None:
            yield OVERFLOW, self._rest


def histograms(instrument: Instrument, found: Iterable[tuple[Attributes, Histogram]]) -> Metric:
    """The instrument with these histograms."""
    return instrument.metric(distributions=[one.distribution(under) for under, one in found])
