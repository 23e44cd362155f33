"""What a server's session tells those who watch its calls, to log, trace or record them. `echo.rpc` implements it."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from echo.transport.server_call import ServerCall


class CallRegister(Protocol):
    """Is told of the calls of all connections of a server. Its methods never wait and raise nothing."""

    @property
    def calls(self) -> "type[ServerCall]":
        """The class of the calls."""

    @property
    def enter(self) -> "Callable[[ServerCall], object] | None":
        """Called when a call's handler starts, in its task."""

    def begin(self, call: "ServerCall") -> None:
        """The head of a call has arrived."""

    def trace_of(self, call: "ServerCall") -> "CallTrace | None":
        """The trace of a call, made when it is first asked for; None if it is not traced."""

    def end(self, calls: "Collection[ServerCall]", now: float, *, refused: bool = False) -> None:
        """Calls have ended, and their handlers, if any, have returned.

        Args:
            calls: The calls.
            now: When, on the event loop's clock.
            refused: They were refused before they began.
        """


class CallTrace(Protocol):
    """The trace of one call. Its methods never wait and raise nothing."""

    @property
    def ids(self) -> tuple[str, str | None]:
        """The trace id and the span id in hexadecimal, for logs; the latter is None if the span is not recorded."""

    def received(self) -> None:
        """Bytes of messages arrived."""

    def sent_first(self) -> None:
        """The first response is being sent."""

    def half_closed(self) -> None:
        """The client will send no more messages."""

    def draining(self) -> None:
        """The connection is draining; this call continues."""

    def cancelled(self, cause: str, reason: str | None) -> None:
        """The handler is cancelled. Only the first report counts.

        Args:
            cause: One of the values of `EndCause`.
            reason: The cause as a sentence.
        """


class CallObserver(Protocol):
    """Follows one call to its end, to record it for instance. Few calls have one. It never waits and raises nothing."""

    def half_closed(self) -> None:
        """The client will send no more messages."""

    def stalled(self, seconds: float) -> None:
        """Sending had to wait this long for the client to take more."""

    def over(self) -> None:
        """The call has ended, and its handler, if any, has returned."""
