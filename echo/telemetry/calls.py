"""How server and client count calls: by method and status, with their messages and bytes."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from echo.rpc import Status
from echo.telemetry.instrument import SECONDS, SIZES, Instrument
from echo.telemetry.names import RECEIVE, TRANSMIT
from echo.telemetry.snapshot import Distribution, Metric
from echo.wire import PREFIX_SIZE, Stream

__all__ = [
    "OTHER",
    "Counts",
    "Ended",
    "Method",
    "Traffic",
    "directed",
    "ended_metrics",
    "method_label",
    "traffic_metrics",
]

OTHER: Final = "other"  # The label of all unknown methods (A66): clients must not be able to create labels.


def method_label(path: str) -> str:
    """The method as A66 writes it: ``package.Service/Method``."""
    return path.removeprefix("/")


class Counts(Protocol):
    """Messages and bytes in both directions."""

    messages_in: int
    messages_out: int
    bytes_in: int
    bytes_out: int


class Traffic:
    """Messages and bytes in both directions. Bytes are counted as transferred (compressed), without framing."""

    __slots__ = ("bytes_in", "bytes_out", "messages_in", "messages_out")

    def __init__(self) -> None:
        self.messages_in = self.messages_out = self.bytes_in = self.bytes_out = 0

    def add(self, call: Stream) -> None:
        """Add what a call has sent and received so far."""
        self.messages_in += call.messages.messages
        self.messages_out += call.unsent.messages
        self.bytes_in += call.received_bytes
        self.bytes_out += call.sent_bytes

    def include(self, other: "Counts") -> None:
        """Add other traffic."""
        self.messages_in += other.messages_in
        self.messages_out += other.messages_out
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out


class Ended(Traffic):
    """Calls of one method that ended with one status, and their traffic.

    Attributes:
        durations: The number of calls in each bucket of `SECONDS`.
        seconds: The sum of all durations.
        sent: The number of calls in each bucket of `SIZES`, by the bytes that they sent.
        received: The same by the bytes that they received.
    """

    __slots__ = ("durations", "received", "seconds", "sent")

    def __init__(self) -> None:
        super().__init__()
        self.durations = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0
        self.sent = [0] * (len(SIZES) + 1)
        self.received = [0] * (len(SIZES) + 1)

    def record(self, seconds: float, messages_in: int, consumed: int, messages_out: int, taken: int) -> None:
        """Count a call.

        Args:
            seconds: How long the call took.
            messages_in: The number of messages received.
            consumed: Their bytes, including prefixes.
            messages_out: The number of messages sent.
            taken: Their bytes, including prefixes.
        """
        self.durations[bisect_left(SECONDS, seconds)] += 1
        self.seconds += seconds
        self._add_sizes(1, messages_in, consumed, messages_out, taken)

    def record_all(self, seconds: list[float], sizes: Sequence[list[int]]) -> None:
        """Count several calls. It costs less for each than `record`, above all if they are alike.

        Args:
            seconds: How long they took; the list is sorted.
            sizes: The other arguments of `record`, each for all calls.
        """
        number = len(seconds)
        self.seconds += sum(seconds)
        seconds.sort()
        place, below = bisect_left(SECONDS, seconds[0]), 0
        while below < number:
            before, below = below, bisect_right(seconds, SECONDS[place]) if place < len(SECONDS) else number
            self.durations[place] += below - before
            place += 1
        if all(column.count(column[0]) == number for column in sizes):
            self._add_sizes(number, *(column[0] for column in sizes))
        else:
            for of_each, calls in Counter(zip(*sizes, strict=True)).items():
                self._add_sizes(calls, *of_each)

    def _add_sizes(self, calls: int, messages_in: int, consumed: int, messages_out: int, taken: int) -> None:
        received, sent = consumed - PREFIX_SIZE * messages_in, taken - PREFIX_SIZE * messages_out
        self.messages_in += calls * messages_in
        self.messages_out += calls * messages_out
        self.bytes_in += calls * received
        self.bytes_out += calls * sent
        self.received[bisect_left(SIZES, received)] += calls
        self.sent[bisect_left(SIZES, sent)] += calls

    @property
    def count(self) -> int:
        """The number of calls."""
        return sum(self.durations)


class Method:
    """Calls of one method.

    Attributes:
        label: The method's label in the metrics.
        ok: Calls that ended with OK.
        failed: Calls that ended with another status, by status.
    """

    __slots__ = ("_shown", "failed", "label", "ok")

    def __init__(self, label: str) -> None:
        self.label = label
        self.ok = Ended()
        self.failed: dict[Status, Ended] = {}
        self._shown = 0

    def failures(self, status: Status) -> Ended:
        """The calls that ended with this status, which is not OK."""
        found = self.failed.get(status)
        if found is None:
            found = self.failed[status] = Ended()
        return found

    def ended(self) -> Iterator[tuple[str, Ended]]:
        """The calls that have ended, by the name of their status. OK is left out if no call ended with it."""
        if self.ok.count:
            yield "OK", self.ok
        for status, found in self.failed.items():
            yield status.name, found

    @property
    def count(self) -> int:
        """The number of calls that have ended."""
        return sum(found.count for _, found in self.ended())

    def total_traffic(self, still_open: Traffic) -> Traffic:
        """The traffic of all calls, ended and open.

        The number of bytes sent never goes down, although the prefix of a message that is only partly sent is counted
        at first.
        """
        both = Traffic()
        both.include(still_open)
        for _, found in self.ended():
            both.include(found)
        both.bytes_out = self._shown = max(self._shown, both.bytes_out)
        return both


def ended_metrics(instruments: Sequence[Instrument], methods: Iterable[Method], *between: str) -> Iterable[Metric]:
    """The histograms of calls that have ended: durations, bytes sent and bytes received.

    Args:
        instruments: The three instruments, in this order.
        methods: The methods whose calls are counted.
        between: The values of the attributes between method and status.
    """
    ended = [((method.label, *between, status), found) for method in methods for status, found in method.ended()]
    parts: tuple[Callable[[Ended], tuple[list[int], float]], ...] = (
        lambda one: (one.durations, one.seconds),
        lambda one: (one.sent, one.bytes_out),
        lambda one: (one.received, one.bytes_in),
    )
    for instrument, part in zip(instruments, parts, strict=True):
        yield instrument.metric(
            distributions=[
                Distribution(instrument.under(key), list(counts), total)
                for key, (counts, total) in ((key, part(found)) for key, found in ended)
            ]
        )


def traffic_metrics(
    messages: Instrument, size: Instrument, still_open: Mapping[Method, Traffic], *between: str
) -> Iterable[Metric]:
    """The counters of messages and bytes, including open calls."""
    both = [((method.label, *between), method.total_traffic(traffic)) for method, traffic in still_open.items()]
    return directed(messages, size, both)


def directed(
    messages: Instrument, size: Instrument, found: Sequence[tuple[tuple[str, ...], Traffic]]
) -> Iterable[Metric]:
    """The counters of messages and bytes in each direction, by the values of the attributes before that."""
    yield messages.of(
        ((*key, way), count)
        for key, one in found
        for way, count in ((RECEIVE, one.messages_in), (TRANSMIT, one.messages_out))
    )
    yield size.of(
        ((*key, way), count)
        for key, one in found
        for way, count in ((RECEIVE, one.bytes_in), (TRANSMIT, one.bytes_out))
    )
