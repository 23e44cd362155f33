"""Lets the access log take note of a server's calls as they end.

What may wait until there are several calls is cheaper as a `Taker` (`echo.transport.register`).
"""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

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
