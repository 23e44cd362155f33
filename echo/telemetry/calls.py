"""Calls as server and client count them alike: by method and status, with their messages and bytes."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from echo.rpc import Status
from echo.telemetry.names import RECEIVE, SECONDS, SIZES, TRANSMIT, Instrument
from echo.telemetry.series import Histogram, histograms
from echo.telemetry.snapshot import Metric
from echo.transport import Call

__all__ = ["OTHER", "Ended", "Method", "Traffic", "ended_metrics", "method_label", "traffic_metrics"]

OTHER: Final = "other"  # All methods that are not known (A66): clients must not make up labels.


def method_label(path: str) -> str:
    """``package.Service/Method``, as A66 has it."""
    return path.removeprefix("/")


class Ended:
    """Calls of one method that ended with one status."""

    __slots__ = ("duration", "received", "sent")

    def __init__(self) -> None:
        self.duration = Histogram(SECONDS)
        self.sent = Histogram(SIZES)
        self.received = Histogram(SIZES)

    def record(self, seconds: float, sent: int, received: int) -> None:
        """Count one. Without further calls: it is done for every call."""
        one = self.duration
        one.counts[bisect_left(SECONDS, seconds)] += 1
        one.total += seconds
        one = self.sent
        one.counts[bisect_left(SIZES, sent)] += 1
        one.total += sent
        one = self.received
        one.counts[bisect_left(SIZES, received)] += 1
        one.total += received


class Traffic:
    """Messages and bytes, both ways."""

    __slots__ = ("bytes_in", "bytes_out", "messages_in", "messages_out")

    def __init__(self) -> None:
        self.messages_in = self.messages_out = self.bytes_in = self.bytes_out = 0

    def add(self, call: Call) -> None:
        """Add what a call has come to."""
        self.messages_in += call.messages.messages
        self.messages_out += call.unsent.messages
        self.bytes_in += call.received_bytes
        self.bytes_out += call.sent_bytes

    def __add__(self, other: "Traffic") -> "Traffic":
        both = Traffic()
        both.messages_in = self.messages_in + other.messages_in
        both.messages_out = self.messages_out + other.messages_out
        both.bytes_in = self.bytes_in + other.bytes_in
        both.bytes_out = self.bytes_out + other.bytes_out
        return both


class Method:
    """Calls of one method.

    Attributes:
        label: What it is called.
        ok: Those that ended with OK,
        failed: and with others.
        traffic: Of those that have ended.
    """

    __slots__ = ("_shown", "failed", "label", "ok", "traffic")

    def __init__(self, label: str) -> None:
        self.label = label
        self.ok = Ended()
        self.failed: dict[Status, Ended] = {}
        self.traffic = Traffic()
        self._shown = 0

    def failures(self, status: Status) -> Ended:
        """Those that ended with a status other than OK."""
        found = self.failed.get(status)
        if found is None:
            found = self.failed[status] = Ended()
        return found

    def ended(self) -> Iterator[tuple[str, Ended]]:
        """By the status's name, those that have ended; OK only if there were any."""
        if self.ok.duration.count:
            yield "OK", self.ok
        for status, found in self.failed.items():
            yield status.name, found

    @property
    def count(self) -> int:
        """How many have ended."""
        return sum(found.duration.count for _, found in self.ended())

    def together(self, still_open: Traffic) -> Traffic:
        """The traffic of all calls. Bytes sent never go down, though the prefix of a message half sent counts first."""
        both = self.traffic + still_open
        both.bytes_out = self._shown = max(self._shown, both.bytes_out)
        return both


def ended_metrics(instruments: Sequence[Instrument], methods: Iterable[Method], *between: str) -> Iterable[Metric]:
    """The histograms of calls that have ended: of seconds, of bytes sent and of bytes received.

    Args:
        instruments: Those three.
        methods: Their calls.
        between: The values of the attributes between method and status.
    """
    parts: tuple[Callable[[Ended], Histogram], ...] = (
        lambda one: one.duration,
        lambda one: one.sent,
        lambda one: one.received,
    )
    ended = [((method.label, *between, status), found) for method in methods for status, found in method.ended()]
    for instrument, part in zip(instruments, parts, strict=True):
        yield histograms(
            instrument,
            ((tuple(zip(instrument.attributes, key, strict=True)), part(found)) for key, found in ended),
        )


def traffic_metrics(
    messages: Instrument, size: Instrument, still_open: Mapping[Method, Traffic], *between: str
) -> Iterable[Metric]:
    """The counters of messages and bytes, with what the calls that are open have come to."""
    both = [((method.label, *between), method.together(traffic)) for method, traffic in still_open.items()]
    yield messages.of(
        ((*key, direction), count)
        for key, one in both
        for direction, count in ((RECEIVE, one.messages_in), (TRANSMIT, one.messages_out))
    )
    yield size.of(
        ((*key, direction), count)
        for key, one in both
        for direction, count in ((RECEIVE, one.bytes_in), (TRANSMIT, one.bytes_out))
    )
