"""What a server's sessions report to traces, in terms of their own; `echo.telemetry.tracing` implements it."""

from typing import TYPE_CHECKING, Protocol

from echo.wire import Status

if TYPE_CHECKING:
    from echo.transport.server_call import ServerCall


class StreamTrace(Protocol):
    """Records the events of a call's stream. Its methods never wait and raise nothing."""

    def received(self) -> None:
        """Bytes of messages arrived."""

    def sent_first(self) -> None:
        """The first response is being sent."""

    def half_closed(self) -> None:
        """The client will send no more messages."""


class CallTrace(Protocol):
    """The trace of one call. Its methods never wait and raise nothing."""

    @property
    def ids(self) -> tuple[str, str | None]:
        """The trace id and the span id in hexadecimal, for logs; the latter is None if the span is not recorded."""

    def enter(self) -> None:
        """The handler starts, in the calling task."""

    def draining(self) -> None:
        """The connection is draining; this call continues."""

    def cancelled(self, cause: str, reason: str | None) -> None:
        """The handler is cancelled. Only the first report counts.

        Args:
            cause: One of the values of `EndCause`.
            reason: The cause as a sentence.
        """

    def over(self, call: "ServerCall", now: float, status: Status, reason: str | None) -> None:
        """The call has ended, and its handler, if any, has returned; the arguments are those of `Notes.note`."""


class Tracing(Protocol):
    """Creates the traces of calls."""

    def begin(self, call: "ServerCall") -> None:
        """Set the ``trace`` and ``stream_trace`` of a call whose head has arrived. Never waits and raises nothing."""
