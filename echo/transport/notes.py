"""Lets the access log and metrics take note of a server's calls. Each one in use costs only its own time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeAlias, runtime_checkable

from echo.wire import Status

if TYPE_CHECKING:
    from echo.transport.server_call import ServerCall


class Notes(Protocol):
    """Takes note of calls that have ended. Its methods raise nothing, nor do those of the two protocols below."""

    def note(self, call: "ServerCall", now: float, status: Status, reason: str | None) -> None:
        """The call has ended.

        Args:
            call: The call.
            now: When, on the event loop's clock.
            status: Its status, as in `ServerCall.outcome`,
            reason: and the message with it.
        """


@runtime_checkable
class Held(Protocol):
    """Notes that hold lines back while `Session.turn_is_due`, to write several at once."""

    def flush(self) -> None:
        """Write what was held back."""


@runtime_checkable
class Arrivals(Protocol):
    """Notes that are also told when calls begin. Each of these calls gets a handler, and is noted when it ends."""

    def begin(self, call: "ServerCall") -> None:
        """The head of a call has arrived."""


Begin: TypeAlias = Callable[["ServerCall"], None]
Note: TypeAlias = Callable[["ServerCall", float, Status, str | None], None]

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class CallListeners:
    """The functions that a session calls; None where there is nothing to call.

    Attributes:
        begin: Called when a call begins.
        note: Called when a call has ended.
        flush: Called when the connection's turn is over.
    """

    begin: Begin | None = None
    note: Note | None = None
    flush: Callable[[], None] | None = None


NO_LISTENERS: Final = CallListeners()


def listeners_of(notes: Sequence[Notes]) -> CallListeners:
    """The functions that a session calls for these notes; for a single one, its own methods."""
    begins = [one.begin for one in notes if isinstance(one, Arrivals)]
    flushes = [one.flush for one in notes if isinstance(one, Held)]
    return CallListeners(_each(begins), _each([one.note for one in notes]), _all(flushes))


def _each(listeners: Sequence[Callable[P, None]]) -> Callable[P, None] | None:
    if len(listeners) < 2:
        return listeners[0] if listeners else None

    def tell(*told: P.args, **named: P.kwargs) -> None:
        for listener in listeners:
            listener(*told, **named)

    return tell


def _all(flushes: Sequence[Callable[[], None]]) -> Callable[[], None] | None:
    if len(flushes) < 2:
        return flushes[0] if flushes else None

    def flush() -> None:
        for one in flushes:
            one()

    return flush
