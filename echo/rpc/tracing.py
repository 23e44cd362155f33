"""What servers and channels report to traces. `echo.telemetry.tracing` implements it.

`echo.transport.tracing` has the traces of the calls that a server serves.
"""

from collections.abc import Mapping
from typing import Protocol

from grpclib.const import Handler

from echo.transport import Tracing
from echo.wire import Metadata, Status

__all__ = ["ChannelTracing", "MadeCallTrace", "ServerTracing"]


class ServerTracing(Protocol):
    """Traces the calls of servers."""

    def serving(self, handlers: Mapping[str, Handler]) -> Tracing:
        """The tracing for a server with these methods, by path."""


class MadeCallTrace(Protocol):
    """The trace of a call that a channel makes. Its methods never wait and raise nothing."""

    def head_received(self) -> None:
        """The head of the response has arrived."""

    def half_closed(self) -> None:
        """We will send no more messages."""

    def cancelled(self, reason: str) -> None:
        """We have cancelled the call."""

    def over(self, status: Status, message: str | None, sent: int, received: int) -> None:
        """The call has ended; only the first report counts.

        Args:
            status: The call's status.
            message: The status message.
            sent: How many messages were sent.
            received: How many messages were received.
        """


class ChannelTracing(Protocol):
    """Traces the calls that are made on channels."""

    def begin(self, path: str, target: str, metadata: Metadata, *, streaming: bool) -> MadeCallTrace | None:
        """Create the trace of a call that is about to be opened. Never waits and raises nothing.

        Args:
            path: ``/package.Service/Method``.
            target: The channel's target.
            metadata: The call's metadata, to which the trace's context is added.
            streaming: Whether either side may send several messages.

        Returns:
            The trace; None if the call is not recorded.
        """
