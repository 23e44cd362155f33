"""Metrics of a gRPC client (gRPC's proposals A66 and A96): its calls and their attempts."""

from collections import Counter
from collections.abc import Iterable

from echo.rpc import CallRecord, Status
from echo.telemetry import names
from echo.telemetry.calls import OTHER, Method, Traffic, ended_metrics, method_label, traffic_metrics
from echo.telemetry.instrument import SECONDS
from echo.telemetry.series import Histogram, histograms
from echo.telemetry.snapshot import Metric
from echo.transport import ClientCall, Tally

__all__ = ["ClientMeter", "canonical"]


class CalledMethod(Method):
    """Calls of one method. The base class counts attempts.

    Attributes:
        calls: The durations of calls, by status.
        transparent_retries: Attempts made because the server had not processed the one before.
        retries: Attempts made because the one before had failed.
    """

    __slots__ = ("calls", "retries", "transparent_retries")

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.calls: dict[Status, Histogram] = {}
        self.transparent_retries = self.retries = 0


class ClientMeter:
    """Counts the calls of channels to one target. It is the channels' `CallNotes`.

    Args:
        target: The channels' target, as the channels were given it.
        methods: Methods with metrics of their own, as ``/package.Service/Method``. All others are counted as one.

    Attributes:
        tally: Counts the channels' connections.
    """

    def __init__(self, target: str, methods: Iterable[str]) -> None:
        self.tally = Tally()
        self._target = canonical(target)
        self._methods = {path: CalledMethod(method_label(path)) for path in methods}
        self._other = CalledMethod(OTHER)
        self._open: set[_Record] = set()

    def begin(self, path: str, now: float) -> CallRecord:
        """A call of this method begins."""
        record = _Record(self._open, self._methods.get(path, self._other), now)
        self._open.add(record)
        return record

    def metrics(self) -> Iterable[Metric]:
        """All metrics as of now."""
        target = self._target
        active: Counter[Method] = Counter()
        methods = (*self._methods.values(), self._other)
        still_open: dict[Method, Traffic] = {method: Traffic() for method in methods}
        unsent = 0
        for record in self._open:
            active[record.method] += 1
            if record.call is not None:
                still_open[record.method].add(record.call)
                unsent += record.call.unsent.size
        # An attempt that has ended without its call having ended was followed by another.
        yield names.CLIENT_STARTED.of(
            ((method.label, target, kind), count)
            for method in methods
            for kind, count in (
                ("original", sum(found.count for found in method.calls.values()) + active[method]),
                ("transparent_retry", method.transparent_retries),
                ("retry", method.retries),
            )
        )
        yield from ended_metrics((names.CLIENT_DURATION, names.CLIENT_SENT, names.CLIENT_RECEIVED), methods, target)
        yield histograms(
            names.CLIENT_CALL,
            (
                (names.CLIENT_CALL.under((method.label, target, status.name)), found)
                for method in methods
                for status, found in method.calls.items()
            ),
        )
        called = {method: found for method, found in still_open.items() if method.count or active[method]}
        yield names.CLIENT_ACTIVE.of(((method.label, target), active[method]) for method in called)
        yield from traffic_metrics(names.CLIENT_MESSAGES, names.CLIENT_IO, called, target)
        yield names.CLIENT_UNSENT.alone(unsent)
        tally = self.tally
        yield names.CLIENT_STALLS.alone(tally.stalls)
        yield names.CLIENT_STALLED.alone(tally.stalled)
        yield names.CLIENT_CONNECTIONS.alone(tally.connections)
        yield names.CLIENT_ACTIVE_CONNECTIONS.alone(tally.open)
        yield names.CLIENT_DRAINED.alone(tally.drained)
        yield names.CLIENT_FAILED.alone(sum(tally.refused.values()))


class _Record:
    """An open call. The runtime reports its events here."""

    __slots__ = ("_among", "_attempted", "_began", "call", "method")

    def __init__(self, among: "set[_Record]", method: CalledMethod, now: float) -> None:
        self._among = among
        self._began = self._attempted = now
        self.method = method
        self.call: ClientCall | None = None  # The latest attempt, once it has a connection.

    def opened(self, call: ClientCall) -> None:
        """An attempt has a connection."""
        self.call = call

    def retry(self, now: float, *, transparent: bool) -> None:
        """The attempt has failed; another begins."""
        trailers = None if self.call is None else self.call.trailers
        self._end(Status.UNAVAILABLE if trailers is None else trailers.status, now)
        self.call = None
        self._attempted = now
        if transparent:
            self.method.transparent_retries += 1
        else:
            self.method.retries += 1

    def over(self, status: Status, now: float) -> None:
        """The call is over."""
        among = self._among
        if self in among:
            among.discard(self)
            ended = self._end(status, now)
            found = self.method.calls.get(status)
            if found is None:
                found = self.method.calls[status] = Histogram(SECONDS)
            found.record(ended - self._began)

    def _end(self, status: Status, now: float) -> float:
        """End the attempt; returns when it ended."""
        call, method = self.call, self.method
        ended = method.ok if status is Status.OK else method.failures(status)
        # The time at which its status arrived. The caller may leave the call much later.
        at = now if call is None or call.concluded is None else call.concluded
        if call is None:  # It never had a connection.
            ended.record(at - self._attempted, 0, 0, 0, 0)
        else:
            incoming, outgoing = call.messages, call.unsent
            ended.record(at - self._attempted, incoming.messages, incoming.consumed, outgoing.messages, outgoing.taken)
        return at


def canonical(target: str) -> str:
    """A channel's target as a URI (gRPC, "Name Resolution"). A target without a scheme is a name to resolve."""
    return target if target.startswith("unix:") else f"dns:///{target}"
