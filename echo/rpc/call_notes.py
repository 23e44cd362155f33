"""Lets metrics take note of the calls that a channel makes."""

from typing import Protocol

from echo.transport import ClientCall, Tally
from echo.wire import Status


class CallRecord(Protocol):
    """Is told what happens to one call. Its methods raise nothing; times are on the event loop's clock."""

    def opened(self, call: ClientCall) -> None:
        """An attempt was opened on a connection: the first, or one after `retry`."""

    def retry(self, now: float, *, transparent: bool) -> None:
        """Another attempt begins, as the server did not process the last one (``transparent``) or it failed."""

    def over(self, status: Status, now: float) -> None:
        """The call has ended, and its caller has left it."""


class CallNotes(Protocol):
    """Takes note of calls.

    Attributes:
        tally: Counts the channel's connections.
    """

    @property
    def tally(self) -> Tally:
        """Counts the channel's connections."""

    def begin(self, path: str, now: float) -> CallRecord:
        """Start the record of a call to ``/package.Service/Method``."""
