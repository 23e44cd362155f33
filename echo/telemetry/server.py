"""What the gRPC server does, as metrics (gRPC's proposal A66, and what operators of streams ask for beside it).

A call costs a place in a set when it begins, and a tuple when it is over. Tuples are counted several at a time, since
code that is warm is faster. Nothing is done for a message: a call counts its own, and those of calls that are open are
added when somebody asks.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from echo.rpc import Server, Status
from echo.telemetry import names
from echo.telemetry.calls import OTHER, Method, Traffic, ended_metrics, method_label, traffic_metrics
from echo.telemetry.snapshot import Metric
from echo.transport import ServerCall

__all__ = ["ServerMeter"]

TOGETHER: Final = 64  # Calls that are counted together.

_OK: Final = Status.OK  # Which every call looks at, and looking it up takes 0.1 us.


class ServerMeter:
    """Counts the calls of servers; one of their `Notes`."""

    def __init__(self) -> None:
        self._servers: list[Server] = []
        self._methods: dict[str, Method] = {}
        self._other = Method(OTHER)
        self._open: set[ServerCall] = set()
        self.begin = self._open.add

    def watch(self, server: Server) -> None:
        """Show this server, too, whose `Notes` this is among."""
        self._servers.append(server)
        for path in server.methods:
            self._methods.setdefault(path, Method(method_label(path)))

    def note(self, call: ServerCall, now: float, status: Status, reason: str | None) -> None:  # noqa: ARG002
        """A call is over."""
        self._open.discard(call)
        incoming, outgoing = call.messages, call.unsent
        method = self._methods.get(call.request.path, self._other)
        ended = method.ok if status is _OK else method.failures(status)
        waiting = ended.waiting
        sizes = incoming.messages, incoming.consumed, outgoing.messages, outgoing.taken
        waiting.append((now - call.started, sizes))
        if len(waiting) >= TOGETHER:
            ended.count_waiting()

    def metrics(self) -> Iterable[Metric]:
        """What was counted so far."""
        for method in (*self._methods.values(), self._other):
            method.count_waiting()
        active: Counter[Method] = Counter()
        still_open = {method: Traffic() for method in (*self._methods.values(), self._other)}
        unsent = 0
        for call in self._open:
            method = self._methods.get(call.request.path, self._other)
            active[method] += 1
            still_open[method].add(call)
            unsent += call.unsent.size
        yield names.SERVER_STARTED.of(((method.label,), method.count + active[method]) for method in still_open)
        yield from ended_metrics((names.SERVER_DURATION, names.SERVER_SENT, names.SERVER_RECEIVED), still_open)
        called = {method: found for method, found in still_open.items() if method.count or active[method]}
        yield names.SERVER_ACTIVE.of(((method.label,), active[method]) for method in called)
        yield from traffic_metrics(names.SERVER_MESSAGES, names.SERVER_IO, called)
        yield names.SERVER_UNSENT.alone(unsent)
        yield from self._of_connections()

    def _of_connections(self) -> Iterable[Metric]:
        tallies = [server.tally for server in self._servers]
        refused: Counter[str] = Counter()
        refused_calls: Counter[str] = Counter()
        for server in self._servers:
            refused.update(server.tally.refused)
            refused_calls.update(server.refused_calls())
        yield names.SERVER_STALLS.alone(sum(tally.stalls for tally in tallies))
        yield names.SERVER_STALLED.alone(sum(tally.stalled for tally in tallies))
        yield names.SERVER_CONNECTIONS.alone(sum(tally.connections for tally in tallies))
        yield names.SERVER_ACTIVE_CONNECTIONS.alone(sum(tally.open for tally in tallies))
        yield names.SERVER_DRAINED.alone(sum(tally.drained for tally in tallies))
        yield names.SERVER_REFUSED.of(((why,), count) for why, count in refused.items())
        yield names.SERVER_REFUSED_CALLS.of(((why,), count) for why, count in refused_calls.items())
