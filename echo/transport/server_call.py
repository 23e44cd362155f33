"""A call to be served, as the server's session and its dispatcher see it."""

import math
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from echo.transport.attendant import Attendant
from echo.transport.backend import Scope
from echo.transport.call import Call
from echo.transport.tracing import CallTrace, StreamTrace
from echo.wire import IDENTITY, Request, Response, Status, Trailers, accepts, encode_compressed, encode_message

if TYPE_CHECKING:
    from echo.transport.server import ServerSession


DEADLINE_SLACK: Final = 0.02  # Seconds that the clocks of two timers for one deadline may differ by.

Fate = Literal["cancelled", "reset", "deadline", "connection lost", "draining", "failed"]
"""What may befall a call: its client cancels it, or it is reset for another reason; its deadline passes; its connection
is lost; the server gives it up as it drains; its handler has a bug, or its client takes nothing."""


class ServerCall(Call):
    """A call to be served.

    Attributes:
        request: Its head.
        deadline: When it is to be over, on the event loop's clock in seconds; infinity for never.
        scope: Where its handler runs. It is cancelled when the client resets the call or vanishes, when the deadline
            passes, and when the server gives the call up. None until the handler is started.
        verdict: What the client is told if the handler is cut short.
        started: When its head came, on the event loop's clock.
        encoding: How messages that are sent may be compressed, for the response's head to say.
        fate: What has befallen it, if it was not left to its handler.
        attendant: Who goes along with it, if anybody does.
        trace: What is recorded of it; None for nothing.
        stream_trace: The same of its course.
    """

    __slots__ = (
        "attendant",
        "deadline",
        "encoding",
        "fate",
        "request",
        "scope",
        "started",
        "stream_trace",
        "trace",
        "verdict",
    )

    session: "ServerSession"
    request: Request

    def __init__(
        self, session: "ServerSession", stream_id: int, max_message_size: int, receive_window: int, send_window: int
    ) -> None:
        super().__init__(session, stream_id, max_message_size, receive_window, send_window)
        self.deadline = math.inf
        self.started = 0.0
        self.scope: Scope | None = None
        self.verdict: Trailers | None = None
        self.encoding = IDENTITY
        self.fate: Fate | None = None
        self.attendant: Attendant | None = None
        self.trace: CallTrace | None = None
        self.stream_trace: StreamTrace | None = None

    @property
    def broken_off(self) -> bool:
        """Whether the stream broke off, so that the client has been told nothing."""
        return self._terminated

    def outcome(self, now: float) -> tuple[Status, str | None]:
        """How the call ended, once its handler has returned: as the client was told, or why it was told nothing."""
        if self._terminated:
            # A client resets the call at the very moment at which the deadline passes here.
            status = Status.CANCELLED if now < self.deadline - DEADLINE_SLACK else Status.DEADLINE_EXCEEDED
            return status, None if self.verdict is None else self.verdict.message
        if self.sent_trailers is None:
            return Status.CANCELLED, "the handler reset the call"
        return self.sent_trailers.status, self.sent_trailers.message

    def begin(self, request: Request, now: float) -> None:
        """For the session: its head came."""
        self.request = request
        self.started = now
        if request.timeout is not None:
            self.deadline = now + request.timeout

    def compress(self, encoding: str) -> None:
        """Send messages in this encoding, if the client reads it; to be said before the response's head is sent."""
        if accepts(self.request.accept_encoding, encoding):
            self.encoding = encoding
            self.encoder = partial(encode_compressed, encoding)

    def compress_next(self, *, wanted: bool) -> None:
        """Whether the messages from here on are compressed, whatever their sizes; does nothing without `compress`."""
        if self.encoding != IDENTITY:
            self.encoder = partial(encode_compressed, self.encoding, always=True) if wanted else encode_message

    async def send_response(self, response: Response, *, hold: bool = False) -> None:
        """Send the response's head; with ``hold``, together with what follows at once.

        Raises:
            StreamTerminatedError: The stream is over.
            LocalProtocolError: The head was already sent.
            ValueError, TypeError: The metadata cannot be sent.
            GRPCError: RESOURCE_EXHAUSTED: It is more than the client takes.
        """
        if not self.is_open:
            await self._over()
        self.session.connection.send_response(self, response)
        if not hold:
            self.session.flush_soon()

    async def finish(self, trailers: Trailers) -> None:
        """End the call with its status after the messages sent so far; waits until they could be sent.

        Raises:
            StreamTerminatedError: The stream is over, or the peer's window has not opened for ``window_timeout``.
            ValueError, TypeError: The metadata cannot be sent.
        """
        if not self.is_open:
            await self._over()
        done = self.session.connection.send_trailers(self, trailers)
        self.session.flush_soon()
        while not done and self.is_open:
            await self._wait_for_room()

    async def finish_by_reset(self, error_code: int) -> None:
        """End the call by RST_STREAM after the messages sent so far; waits until they could be sent.

        Raises:
            StreamTerminatedError: As `finish`.
        """
        if not self.is_open:
            await self._over()
        done = self.session.connection.send_reset(self, error_code)
        self.session.flush_soon()
        while not done and self.is_open:
            await self._wait_for_room()

    def abort(self, trailers: Trailers) -> None:
        """End the call now, leaving out messages not sent yet. Never waits; does nothing to a call that is over."""
        self.session.connection.abort(self, trailers)
        self.session.flush_soon()

    def give_up(self, verdict: Trailers, fate: Fate) -> None:
        """Cancel the handler; the client, if there is one, is told the verdict."""
        self.verdict = verdict
        self.fate = self.fate or fate
        if self.trace is not None:
            self.trace.cancelled(self.fate, verdict.message)
        if self.scope is not None:
            self.scope.cancel()

    def break_off(self, verdict: Trailers, fate: Fate) -> None:
        """The client is gone: cancel the handler."""
        # In this order: a handler that waits shall be cancelled, and not be told of an end that never came. Only what
        # has shielded itself hears of it by the error of its own next step.
        self.give_up(verdict, fate)
        self.terminate()

    def _give_up_sending(self, reason: str) -> None:
        self.verdict = Trailers(Status.CANCELLED, reason)
        self.fate = "failed"
        if self.trace is not None:
            self.trace.cancelled("failed", reason)
        super()._give_up_sending(reason)

    def _note_stall(self, seconds: float) -> None:
        super()._note_stall(seconds)
        if self.attendant is not None:
            self.attendant.stalled(seconds)
