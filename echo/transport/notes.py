"""Lets the access log take note of a server's calls as they end. Each of the notes costs only its own time.

What may wait until there are several calls is cheaper as a `Taker` (`echo.transport.register`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

from echo.wire import Status

if TYPE_CHECKING:
    from echo.transport.server_call import ServerCall


class Notes(Protocol):
    """Takes note of calls that have ended. Its methods raise nothing, nor do those of the protocol below."""

    def note(self, call: "ServerCall", now: float, status: Status, reason: str | None) -> None:
        """The call has ended.

        Args:
            call: The call.
            now: When, on the event loop's clock.
            status: Its status, as in `ServerCall.outcome`.
            reason: The message with it.
        """


@runtime_checkable
class Held(Protocol):
    """Notes that hold lines back while `Session.turn_is_due`, to write several at once."""

    def flush(self) -> None:
        """Write what was held back."""


Note: TypeAlias = Callable[["ServerCall", float, Status, str | None], None]


@dataclass(frozen=True, slots=True)
class CallListeners:
    """The functions that a session calls; None where there is nothing to call.

    Attributes:
        note: Called when a call has ended.
        flush: Called when the connection's turn is over.
    """

    note: Note | None = None
    flush: Callable[[], None] | None = None


NO_LISTENERS: Final = CallListeners()


def listeners_of(notes: Sequence[Notes]) -> CallListeners:
    """The functions that a session calls for these notes; for a single one, its own methods."""
    flushes = [one.flush for one in notes if isinstance(one, Held)]
    return CallListeners(_each([one.note for one in notes]), _all(flushes))


def _each(notes: Sequence[Note]) -> Note | None:
    if len(notes) < 2:
        return notes[0] if notes else None

    def note(call: "ServerCall", now: float, status: Status, reason: str | None) -> None:
        for one in notes:
            one(call, now, status, reason)

    return note


def _all(flushes: Sequence[Callable[[], None]]) -> Callable[[], None] | None:
    if len(flushes) < 2:
        return flushes[0] if flushes else None

    def flush() -> None:
        for one in flushes:
            one()

    return flush
