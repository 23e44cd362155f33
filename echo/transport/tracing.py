"""Who records what becomes of the calls of a server, if anybody does: what the transport asks for.

`echo.telemetry.tracing` is who does. Its words are plain, so that nobody else has to know OpenTelemetry.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from echo.transport.server_call import ServerCall


class StreamTrace(Protocol):
    """Hears of what makes a stream. Its methods never wait, and raise nothing."""

    def received(self) -> None:
        """Bytes of messages came."""

    def sent_first(self) -> None:
        """The first response goes out."""

    def half_closed(self) -> None:
        """The client sends no more."""


class CallTrace(Protocol):
    """The trace of one call. Its methods never wait, and raise nothing."""

    @property
    def ids(self) -> tuple[str, str | None]:
        """The trace's id and the span's, in hexadecimal, as a log shows them; None for a span that is not recorded."""

    def enter(self) -> None:
        """The handler begins, in the task that calls this."""

    def draining(self) -> None:
        """The connection takes no new calls; this one goes on."""

    def cancelled(self, cause: str, reason: str | None) -> None:
        """The handler is cancelled; the first word counts.

        Args:
            cause: What has befallen the call, of the words of `Fate`.
            reason: The same in a sentence.
        """

    def over(self, call: "ServerCall") -> None:
        """The call is over, and its handler, if there was one, has returned."""


class Tracing(Protocol):
    """Gives calls their traces."""

    def begin(self, call: "ServerCall") -> None:
        """The head of a call came: give it its ``trace``, and its ``stream_trace``. Never waits, and raises nothing."""
