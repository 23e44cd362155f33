"""Who takes note of the calls that a channel makes."""

from typing import Protocol

from echo.transport import ClientCall, Tally
from echo.wire import Status


class CallRecord(Protocol):
    """Hears what becomes of one call. Its methods raise nothing; times are on the event loop's clock."""

    def opened(self, call: ClientCall) -> None:
        """An attempt is on a connection, the first one or another one after `retry`."""

    def retry(self, now: float) -> None:
        """The last attempt was refused, and another one begins."""

    def over(self, status: Status, now: float) -> None:
        """The call is over, and its caller has left it."""


class CallNotes(Protocol):
    """Takes note of calls.

    Attributes:
        tally: Where the connections are counted.
    """

    @property
    def tally(self) -> Tally:
        """Where the connections are counted."""

    def begin(self, path: str, now: float) -> CallRecord:
        """A call of ``/package.Service/Method`` begins."""
