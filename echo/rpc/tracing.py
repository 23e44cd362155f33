"""What servers and channels report to traces. `echo.telemetry.tracing` implements it.

A call that is served costs traces next to nothing until it ends: its trace is made only if something happens that
belongs in it, or if somebody asks for it. Otherwise the call is traced from what the server's register keeps of it.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from grpclib.const import Handler

from echo.transport import CallTrace, ServerCall
from echo.wire import Metadata, ReceivedRequest, Status

if TYPE_CHECKING:
    from echo.rpc.register import EndedCalls, Register

__all__ = ["ChannelTracing", "MadeCallTrace", "ServerTracing", "Tracing"]


class Tracing(Protocol):
    """Traces the calls of a server. Its methods never wait and raise nothing."""

    @property
    def calls(self) -> type[ServerCall]:
        """The class of its calls."""

    @property
    def unary(self) -> Container[str]:
        """The methods whose calls have no `stream_trace`, as far as they were called."""

    @property
    def enter(self) -> Callable[[ServerCall], object]:
        """Called when a call's handler starts, in its task."""

    @property
    def seeds(self) -> Iterator[bytes]:
        """Random bytes, endless, of which the ids of spans are made."""

    def watch(self, register: "Register") -> None:
        """Flush this register, which hands its calls to `take`, before traces are exported."""

    def begin(self, call: ServerCall) -> None:
        """The head of a call has arrived, whose method is not in ``unary``: set its `stream_trace`, if it has one."""

    def trace_of(self, call: ServerCall) -> CallTrace | None:
        """The trace of a call, made when it is first asked for; None for a method that is not traced."""

    def parent_of(self, request: ReceivedRequest) -> bytes:
        """What the head of a call says of the parent of its span, for `take`; empty for nothing.

        It is kept instead of the head: memory that is used again at once is in the processor's cache.
        """

    def over(self, call: ServerCall, status: Status, reason: str | None) -> bytes | None:
        """The call has ended, and its handler, if any, has returned; the arguments are those of `Register.end`.

        It is not called for a call without a trace that ended with OK: `take` records that with the seed it was given.

        Returns:
            What the ids of its span are made of, if `take` is to record it; None if there is nothing more to do.
        """

    def take(self, calls: "EndedCalls") -> None:
        """Record the calls that have seeds."""


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
