"""Who takes note of a server's calls: the access log, metrics, or several of them at the price of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from echo.transport.server_call import ServerCall


class Notes(Protocol):
    """Takes note of calls that are over. Its methods raise nothing, and so those of the other two."""

    def note(self, call: "ServerCall") -> None:
        """A call is over."""


@runtime_checkable
class Held(Protocol):
    """Holds notes back while `Session.turn_is_due`, to let go of several at once."""

    def flush(self) -> None:
        """Let go of what was held."""


@runtime_checkable
class Arrivals(Protocol):
    """Takes note of calls as they begin, too: of those with a handler, each of which will be noted as over."""

    def begin(self, call: "ServerCall") -> None:
        """The head of a call came."""


Note = Callable[["ServerCall"], None]


@dataclass(frozen=True, slots=True)
class Hearing:
    """Some notes, as a session calls them: None where nobody listens.

    Attributes:
        begin: A call has begun.
        note: A call is over.
        flush: The connection's turn is over.
    """

    begin: Note | None = None
    note: Note | None = None
    flush: Callable[[], None] | None = None


NOBODY: Final = Hearing()


def hearing(notes: Sequence[Notes]) -> Hearing:
    """What a session calls for these notes: for one of them its own methods, with nothing between."""
    begins = [one.begin for one in notes if isinstance(one, Arrivals)]
    flushes = [one.flush for one in notes if isinstance(one, Held)]
    return Hearing(_each(begins), _each([one.note for one in notes]), _all(flushes))


def _each(listeners: Sequence[Note]) -> Note | None:
    if len(listeners) < 2:
        return listeners[0] if listeners else None

    def tell(call: "ServerCall") -> None:
        for listener in listeners:
            listener(call)

    return tell


def _all(flushes: Sequence[Callable[[], None]]) -> Callable[[], None] | None:
    if len(flushes) < 2:
        return flushes[0] if flushes else None

    def flush() -> None:
        for one in flushes:
            one()

    return flush
