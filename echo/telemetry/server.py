"""What the gRPC server does, as metrics (gRPC's proposal A66, and what operators of streams ask for beside it).

Ended calls come from the servers' registers, many at a time. Nothing is done for a message: a call counts its own, and
those of open calls are added when somebody asks.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from operator import sub
from typing import Final

from echo.rpc import Server, Status
from echo.rpc.register import EndedCalls
from echo.telemetry import names
from echo.telemetry.calls import OTHER, Ended, Method, Traffic, ended_metrics, method_label, traffic_metrics
from echo.telemetry.snapshot import Metric

__all__ = ["ServerMeter"]

_OK: Final = Status.OK  # Looking it up takes 0.1 us.


class ServerMeter:
    """Counts the calls of servers; a `Taker` among their notes."""

    def __init__(self) -> None:
        self._servers: list[Server] = []
        self._methods: dict[str, Method] = {}
        self._other = Method(OTHER)

    def watch(self, server: Server) -> None:
        """Show this server, which has this meter among its notes."""
        self._servers.append(server)
        for path in server.methods:
            self._methods.setdefault(path, Method(method_label(path)))

    def take(self, calls: EndedCalls) -> None:
        """Count calls that have ended."""
        paths, statuses = calls.paths, calls.statuses
        seconds = list(map(sub, calls.ended, calls.started))
        sizes = calls.received, calls.consumed, calls.sent, calls.taken
        if paths.count(paths[0]) == statuses.count(_OK) == len(paths):  # As they mostly are.
            self._methods.get(paths[0], self._other).ok.record_all(seconds, sizes)
            return
        rows: dict[Ended, list[int]] = {}
        for row, (path, status) in enumerate(zip(paths, statuses, strict=True)):
            method = self._methods.get(path, self._other)
            rows.setdefault(method.ok if status is _OK else method.failures(status), []).append(row)
        for ended, found in rows.items():
            ended.record_all([seconds[row] for row in found], [[column[row] for row in found] for column in sizes])

    def metrics(self) -> Iterable[Metric]:
        """What was counted so far."""
        registers = [server.register for server in self._servers if server.register is not None]
        for register in registers:
            register.flush()
        active: Counter[Method] = Counter()
        still_open = {method: Traffic() for method in (*self._methods.values(), self._other)}
        unsent = 0
        for call in chain.from_iterable(register.open for register in registers):
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
