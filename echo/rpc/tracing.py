"""Who records calls as traces, if anybody does: what servers and channels ask for.

`echo.telemetry.tracing` is who does; see `echo.transport.tracing` for the calls that a server serves.
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
        """What traces the calls of a server with these methods, by path."""


class MadeCallTrace(Protocol):
    """The trace of a call that is made. Its methods never wait, and raise nothing."""

    def head_received(self) -> None:
        """The head of the response came."""

    def half_closed(self) -> None:
        """We send no more."""

    def cancelled(self, reason: str) -> None:
        """We give the call up."""

    def over(self, status: Status, message: str | None, sent: int, received: int) -> None:
        """The call is over; only the first word counts.

        Args:
            status: How it ended,
            message: and in words.
            sent: Messages sent,
            received: and received.
        """


class ChannelTracing(Protocol):
    """Traces the calls that are made on channels."""

    def begin(self, path: str, target: str, metadata: Metadata, *, streaming: bool) -> MadeCallTrace | None:
        """A call is to be opened. Never waits, and raises nothing.

        Args:
            path: ``/package.Service/Method``.
            target: What its channel calls.
            metadata: Gets what tells the server of the trace.
            streaming: Either side may send several messages.

        Returns:
            Its trace; None for a call that is not recorded.
        """
