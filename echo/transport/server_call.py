"""A call on the server's side, as its session and the dispatcher see it."""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from echo.transport.backend import Scope
from echo.transport.call import Call
from echo.transport.watching import CallObserver, CallTrace
from echo.wire import (
    CLOSED,
    IDENTITY,
    ReceivedRequest,
    Response,
    Status,
    Trailers,
    accepts,
    encode_compressed,
    encode_message,
)

if TYPE_CHECKING:
    from echo.transport.server import ServerSession

DEADLINE_SLACK: Final = 0.02  # Seconds by which the client's and the server's timers for one deadline may differ.

EndCause = Literal["cancelled", "reset", "deadline", "connection lost", "draining", "failed"]
"""Why a handler was cancelled, or its call failed: the client cancelled the call; it was reset for another reason; its
deadline passed; the connection was lost; the server drained; the handler has a bug, or the client stopped reading."""


class ServerCall(Call):
    """A call on the server's side.

    Attributes:
        request: The head of the request.
        deadline: On the event loop's clock, in seconds; infinity for none.
        scope: The handler's cancel scope; None until the handler starts. It is cancelled when the client resets the
            call or is gone, when the deadline passes, and when the server gives the call up.
        verdict: The trailers to send if the handler is cancelled.
        started: When the head arrived, on the event loop's clock.
        encoding: How messages may be compressed; the response's head announces it.
        end_cause: Why the call did not end by its handler; None if it did.
        observer: Its observer, if any.
        trace: Its trace, if it has been made; see `CallRegister`.
        seed: What the ids of its span are made of. Set when a traced call has ended with OK and without a trace; a task
            that survives the call may still ask for one.
        stream_trace: The same, if the events of its stream belong in it.
    """

    __slots__ = (
        "deadline",
        "encoding",
        "end_cause",
        "observer",
        "request",
        "scope",
        "seed",
        "started",
        "stream_trace",
        "trace",
        "verdict",
    )

    session: "ServerSession"
    request: ReceivedRequest
    seed: bytes
    encoder: Callable[[bytes], bytes]

    def __init__(
        self, session: "ServerSession", stream_id: int, max_message_size: int, receive_window: int, send_window: int
    ) -> None:
        super().__init__(session, stream_id, max_message_size, receive_window, send_window)
        self.deadline: float = math.inf
        self.started: float = 0.0
        self.scope: Scope | None = None
        self.verdict: Trailers | None = None
        self.encoding: str = IDENTITY
        self.end_cause: EndCause | None = None
        self.observer: CallObserver | None = None
        self.trace: CallTrace | None = None
        self.stream_trace: CallTrace | None = None

    @property
    def broken_off(self) -> bool:
        """Whether the stream was cut off, so that the client got no status from us."""
        return self._terminated

    def outcome(self, now: float) -> tuple[Status, str | None]:
        """How the call ended, once its handler has returned: the status sent, or why none was sent."""
        if self._terminated:
            # When a deadline passes, the client may reset the call just before our own timer fires.
            status = Status.CANCELLED if now < self.deadline - DEADLINE_SLACK else Status.DEADLINE_EXCEEDED
            return status, None if self.verdict is None else self.verdict.message
        if self.sent_trailers is None:
            reason = "the handler reset the call" if self.state == CLOSED else "the connection was closed"
            return Status.CANCELLED, reason
        return self.sent_trailers.status, self.sent_trailers.message

    def begin(self, request: ReceivedRequest, now: float) -> None:
        """For the session: the request's head has arrived."""
        self.request = request
        self.started = now
        if request.timeout is not None:
            self.deadline = now + request.timeout

    def compress(self, encoding: str) -> None:
        """Compress messages with this encoding if the client accepts it. Call it before the response's head is sent."""
        if accepts(self.request.accept_encoding, encoding):
            self.encoding = encoding
            self.encoder = partial(encode_compressed, encoding)

    def compress_next(self, *, wanted: bool) -> None:
        """Compress all further messages, whatever their size, or none; does nothing without `compress`."""
        if self.encoding != IDENTITY:
            self.encoder = partial(encode_compressed, self.encoding, always=True) if wanted else encode_message

    async def send_response(self, response: Response, *, hold: bool = False) -> None:
        """Send the response's head; with ``hold``, it leaves together with what follows at once.

        Raises:
            StreamTerminatedError: The stream is over.
            LocalProtocolError: The head was already sent.
            ValueError, TypeError: The metadata cannot be sent.
            GRPCError: RESOURCE_EXHAUSTED: The metadata is larger than the client accepts.
        """
        if not self.is_open:
            await self._over()
        self.session.connection.send_response(self, response)
        if not hold:
            self.session.flush_soon()

    async def finish(self, trailers: Trailers) -> None:
        """End the call with its status after the messages sent so far; waits until all of that is on its way.

        Raises:
            StreamTerminatedError: The stream is over, or the peer's window has not opened for ``window_timeout``.
            ValueError, TypeError: The metadata cannot be sent.
        """
        if not self.is_open:
            await self._over()
        if (rest := self.end_now(trailers)) is not None:
            await rest

    def end_now(self, trailers: Trailers) -> Awaitable[None] | None:
        """End an open call, as `finish`; returns what to wait for, unless all could be sent."""
        done = self.session.connection.send_trailers(self, trailers)
        self.session.flush_soon()
        return None if done else self._wait_for_the_end()

    async def finish_by_reset(self, error_code: int) -> None:
        """End the call with RST_STREAM after the messages sent so far; waits until all of that is on its way.

        Raises:
            StreamTerminatedError: See `finish`.
        """
        if not self.is_open:
            await self._over()
        self.session.connection.send_reset(self, error_code)
        self.session.flush_soon()
        await self._wait_for_the_end()

    async def _wait_for_the_end(self) -> None:
        while self.is_open:
            await self._wait_for_room()

    def abort(self, trailers: Trailers) -> None:
        """End the call now and drop unsent messages. Never waits; does nothing if the call is over."""
        self.session.connection.abort(self, trailers)
        self.session.flush_soon()

    def give_up(self, verdict: Trailers, end_cause: EndCause) -> None:
        """Cancel the handler; the verdict is sent if the stream is still open."""
        self.verdict = verdict
        self.end_cause = self.end_cause or end_cause
        self._note_cancel(self.end_cause, verdict.message)
        if self.scope is not None:
            self.scope.cancel()

    def break_off(self, verdict: Trailers, end_cause: EndCause) -> None:
        """Cancel the handler, as the client is gone or has reset the call."""
        # In this order, so that a waiting handler is cancelled rather than woken by an error. Only shielded code gets
        # an error, from its next operation on the stream.
        self.give_up(verdict, end_cause)
        self.terminate()

    def _give_up_sending(self, reason: str) -> None:
        self.verdict = Trailers(Status.CANCELLED, reason)
        self.end_cause = "failed"
        self._note_cancel("failed", reason)
        super()._give_up_sending(reason)

    def _note_cancel(self, cause: EndCause, reason: str | None) -> None:
        """Record in its trace that the handler is cancelled."""
        if (trace := self.session.trace_of(self)) is not None:
            trace.cancelled(cause, reason)

    def _note_stall(self, seconds: float) -> None:
        super()._note_stall(seconds)
        if self.observer is not None:
            self.observer.stalled(seconds)
