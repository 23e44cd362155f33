"""A server's register of calls, for those who log, count or trace them.

It holds the open calls, and a few plain values of each call that has ended. Those go into one flat list, which costs
little and gives the garbage collector nothing to follow. When the list is full, or somebody asks, all takers get it as
columns and work through it at once: code that is warm takes half the time. Notes get the calls themselves, at once.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import compress
from typing import Final, NamedTuple, Protocol, runtime_checkable

from echo.rpc.tracing import Tracing
from echo.transport import CallTrace, ServerCall, ServerSession
from echo.wire import Status

__all__ = ["EndedCalls", "Notes", "Register", "Taker"]

_OK: Final = Status.OK  # Looking it up takes 0.1 us.

# Calls that are handed over together. They take no longer than a handful of calls do, and keep too few objects alive to
# set off the garbage collector. Fewer would cost more for each call, since the code would not stay warm.
FULL: Final = 128


class EndedCalls(NamedTuple):
    """Calls that have ended: one list for each property, all of the same length. Times are on the event loop's clock.

    Attributes:
        paths: Their methods, as ``/package.Service/Method``.
        statuses: How they ended.
        started: When their heads arrived.
        ended: When they ended.
        received: How many messages were received.
        consumed: Bytes of these messages, including prefixes.
        sent: How many messages were sent.
        taken: Bytes of these messages, including prefixes.
        parents: What `Tracing.parent_of` makes of their heads; empty for a server without traces.
        sessions: Their connections.
        seeds: What their spans' ids are made of; None for calls that are not to be traced, or that were traced already.
    """

    paths: list[str]
    statuses: list[Status]
    started: list[float]
    ended: list[float]
    received: list[int]
    consumed: list[int]
    sent: list[int]
    taken: list[int]
    parents: list[bytes]
    sessions: list[ServerSession]
    seeds: list[bytes | None]

    def only(self, wanted: Sequence[object]) -> "EndedCalls":
        """Those for which this is true."""
        return EndedCalls._make(list(compress(column, wanted)) for column in self)


WIDTH: Final = len(EndedCalls._fields)
_ENOUGH: Final = FULL * WIDTH


@runtime_checkable
class Taker(Protocol):
    """Takes calls that have ended. Raises nothing."""

    def take(self, calls: EndedCalls) -> None:
        """These calls have ended."""


class Notes(Protocol):
    """Takes note of calls as they end. Raises nothing."""

    def note(self, calls: Collection[ServerCall], now: float) -> None:
        """These calls have ended now, on the event loop's clock."""


class Register:
    """The calls of a server; its connections tell it of them, as a `CallRegister`.

    Args:
        notes: Get the calls that have ended: at once, or, if they are takers, several at a time.
        tracing: Says which of them it takes, if the server is traced. It is a taker, too.

    Attributes:
        open: The open calls.
        calls: The class of the calls.
        enter: Called when a call's handler starts, in its task; None for nothing.
    """

    def __init__(self, notes: Sequence[Notes | Taker], tracing: Tracing | None = None) -> None:
        self.open: set[ServerCall] = set()
        self._notes = [one for one in notes if not isinstance(one, Taker)]
        takers = [one for one in notes if isinstance(one, Taker)]
        self._takers = takers if tracing is None else [*takers, tracing]
        self._tracing = tracing
        self._values: list[object] = []
        self.calls: type[ServerCall] = ServerCall if tracing is None else tracing.calls
        self.enter: Callable[[ServerCall], object] | None = None if tracing is None else tracing.enter
        if tracing is not None:
            tracing.watch(self)

    def begin(self, call: ServerCall) -> None:
        """The head of a call has arrived."""
        self.open.add(call)
        tracing = self._tracing
        if tracing is not None and call.request.path not in tracing.unary:
            tracing.begin(call)

    def trace_of(self, call: ServerCall) -> CallTrace | None:
        """The trace of a call, made when it is first asked for; None if it is not traced."""
        return None if self._tracing is None else self._tracing.trace_of(call)

    def end(self, calls: Collection[ServerCall], now: float, *, refused: bool = False) -> None:
        """Calls have ended, and their handlers have returned.

        Several at once cost half as much each as one by one. This is one function, as each further one takes 0.1 us.

        Args:
            calls: The calls.
            now: When, on the event loop's clock.
            refused: They were refused before they began; they are not traced.
        """
        self.open.difference_update(calls)
        for one in self._notes:
            one.note(calls, now)
        if not self._takers:
            return
        tracing = None if refused else self._tracing
        values = self._values
        last, parent = None, b""
        for call in calls:
            status, reason = call.outcome(now)
            incoming, outgoing, request = call.messages, call.unsent, call.request
            seed = None
            if tracing is not None:
                if status is _OK and call.trace is None:
                    seed = call.seed = next(tracing.seeds)
                else:
                    seed = tracing.over(call, status, reason)
                if request is not last:  # Requests without metadata share one object.
                    last, parent = request, tracing.parent_of(request)
            values += (
                request.path,
                status,
                call.started,
                now,
                incoming.messages,
                incoming.consumed,
                outgoing.messages,
                outgoing.taken,
                parent,
                call.session,
                seed,
            )
            if len(values) >= _ENOUGH:
                self.flush()

    def flush(self) -> None:
        """Hand over the calls that have ended."""
        values = self._values
        if values:
            calls = EndedCalls._make(values[column::WIDTH] for column in range(WIDTH))
            values.clear()
            for taker in self._takers:
                taker.take(calls)
