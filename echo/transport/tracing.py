"""What a server's sessions report to traces, in terms of their own; `echo.telemetry.tracing` implements it.

A call costs traces next to nothing until it ends: its trace is made only if something happens that belongs in it, or
if somebody asks for it. Otherwise the call is traced from what the server's register keeps of it.
"""

from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, Protocol

from echo.wire import Status

if TYPE_CHECKING:
    from echo.transport.register import EndedCalls, Register
    from echo.transport.server_call import ServerCall
    from echo.wire import Request


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


class Tracing(Protocol):
    """Traces the calls of a server. Its methods never wait and raise nothing."""

    @property
    def calls(self) -> "type[ServerCall]":
        """The class of its calls."""

    @property
    def unary(self) -> Container[str]:
        """The methods whose calls have no `stream_trace`, as far as they were called."""

    @property
    def enter(self) -> "Callable[[ServerCall], object]":
        """Called when a call's handler starts, in its task."""

    @property
    def seeds(self) -> Iterator[bytes]:
        """Random bytes, endless, of which the ids of spans are made."""

    def watch(self, register: "Register") -> None:
        """Flush this register, which hands its calls to `take`, before traces are exported."""

    def begin(self, call: "ServerCall") -> None:
        """The head of a call has arrived, whose method is not in ``unary``: set its `stream_trace`, if it has one."""

    def trace_of(self, call: "ServerCall") -> CallTrace | None:
        """The trace of a call, made when it is first asked for; None for a method that is not traced."""

    def parent_of(self, request: "Request") -> bytes:
        """What the head of a call says of the parent of its span, for `take`; empty for nothing.

        It is kept instead of the head: memory that is used again at once is in the processor's cache.
        """

    def over(self, call: "ServerCall", status: Status, reason: str | None) -> bytes | None:
        """The call has ended, and its handler, if any, has returned; the arguments are those of `Register.end`.

        It is not called for a call without a trace that ended with OK: `take` records that with the seed it was given.

        Returns:
            What the ids of its span are made of, if `take` is to record it; None if there is nothing more to do.
        """

    def take(self, calls: "EndedCalls") -> None:
        """Record the calls that have seeds."""
