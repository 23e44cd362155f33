"""A server's register of calls, for those who count or trace them.

It holds the open calls, and a few plain values of each call that has ended. Those go into one flat list, which costs
little and gives the garbage collector nothing to follow. When the list is full, or somebody asks, all takers get it as
columns and work through it at once: code that is warm takes half the time.
"""

from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

from echo.wire import Request, Status

if TYPE_CHECKING:
    from echo.transport.server import ServerSession
    from echo.transport.server_call import ServerCall
    from echo.transport.tracing import Tracing

FULL: Final = 64  # Calls that are handed over together. Few enough to take no longer than a handful of calls.


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
        requests: Their heads.
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
    requests: list[Request]
    sessions: "list[ServerSession]"
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


class Register:
    """The calls of a server.

    Args:
        takers: Get the calls that have ended.
        tracing: Says which of them it takes, if the server is traced. It is a taker, too.

    Attributes:
        open: The open calls.
        begin: Adds an open call.
    """

    def __init__(self, takers: Sequence[Taker], tracing: "Tracing | None" = None) -> None:
        self.open: set[ServerCall] = set()
        self.begin = self.open.add
        self._takers = [*takers] if tracing is None else [*takers, tracing]
        self._trace = None if tracing is None else tracing.over
        self._values: list[object] = []
        self._add = self._values.extend
        if tracing is not None:
            tracing.watch(self)

    def end(self, call: "ServerCall", now: float, status: Status, reason: str | None) -> None:
        """A call has ended, and its handler has returned.

        Args:
            call: The call.
            now: When, on the event loop's clock.
            status: Its status, as in `ServerCall.outcome`.
            reason: The message with it.
        """
        self.open.discard(call)
        self.add(call, now, status, None if self._trace is None else self._trace(call, now, status, reason))

    def add(self, call: "ServerCall", now: float, status: Status, seed: bytes | None) -> None:
        """Add a call that has ended, or that was refused before it began; the latter are not traced."""
        incoming, outgoing, request = call.messages, call.unsent, call.request
        self._add(
            (
                request.path,
                status,
                call.started,
                now,
                incoming.messages,
                incoming.consumed,
                outgoing.messages,
                outgoing.taken,
                request,
                call.session,
                seed,
            )
        )
        if len(self._values) >= _ENOUGH:
            self.flush()

    def flush(self) -> None:
        """Hand over the calls that have ended."""
        values = self._values
        if values:
            calls = EndedCalls._make(values[column::WIDTH] for column in range(WIDTH))
            values.clear()
            for taker in self._takers:
                taker.take(calls)
