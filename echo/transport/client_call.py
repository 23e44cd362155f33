"""A call we made, as the client's session and the streams above it see it.

It keeps what was sent until the head of the response arrives. If the server turns out not to have processed it, another
call can repeat it (`echo.rpc.retry`).
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from echo.transport.call import Call
from echo.wire import Request, Response, Status, Trailers, encode_compressed

if TYPE_CHECKING:
    from echo.transport.client import ClientSession


MAX_KEPT: Final = 64 * 1024  # Bytes of messages that a call keeps, at most.


class ClientCall(Call):
    """A call we made. It ends when its deadline passes, even if nobody is waiting for it.

    Attributes:
        request: Its head, but for the timeout.
        kept: The framed messages sent, while the call may be sent again; None once the head of the response has
            arrived, or when they are too many.
        response: The head of the response, once it has arrived.
        trailers: How the call ended, once it has.
        unprocessed: Whether the server did not process the call.
        deadline: On the event loop's clock, in seconds; infinity for none.
        concluded: When the server or the connection ended it, on the event loop's clock; None if neither has.
    """

    __slots__ = ("concluded", "deadline", "kept", "request", "response", "trailers", "unprocessed")

    session: "ClientSession"
    request: Request  # Set by the session.
    encoder: Callable[[bytes], bytes]

    def __init__(
        self, session: "ClientSession", stream_id: int, max_message_size: int, receive_window: int, send_window: int
    ) -> None:
        super().__init__(session, stream_id, max_message_size, receive_window, send_window)
        self.kept: list[bytes] | None = []
        self.response: Response | None = None
        self.trailers: Trailers | None = None
        self.unprocessed: bool = False
        self.deadline: float = math.inf
        self.concluded: float | None = None

    @property
    def current(self) -> "ClientCall":
        """The call itself: it consists of a single attempt."""
        return self

    @property
    def outcome(self) -> Trailers | None:
        """How the call ended, once it has; None while it can be sent again because the server did not process it."""
        return None if self.unprocessed and self.kept is not None else self.trailers

    @property
    def exhausted(self) -> bool:
        """Whether the call has ended, and all that the server sent was received."""
        return self.trailers is not None and self.messages.empty

    def compress(self, encoding: str) -> None:
        """Send messages in this encoding, which is not ``identity``, as the request's head has announced."""
        self.encoder = partial(encode_compressed, encoding)

    def send_nowait(self, message: bytes, hold: bool = False, *, end: bool = False) -> bool:
        """Like `Call.send_nowait`; with ``end``, the call is half-closed after the message."""
        session = self.session
        if self._until_yield == 1 or self.unsent.size > session.max_unsent or not self.is_open:
            return False
        framed = self.encoder(message)
        if self.kept is not None:
            self._keep(framed)
        session.connection.send_message(self, framed)
        if end:
            session.connection.half_close(self)
        if end or not hold:
            session.flush_soon()
        self._until_yield -= 1
        return True

    async def send_message(self, message: bytes, *, hold: bool = False, end: bool = False) -> None:
        """Like `Call.send_message`; with ``end``, the call is half-closed after the message."""
        while not self.send_nowait(message, hold=hold, end=end):
            await self._wait_to_send()

    def half_close_nowait(self) -> bool:
        """Send no more messages, if the stream is not over; returns whether it is not."""
        if not self.is_open:
            return False
        self.session.connection.half_close(self)
        self.session.flush_soon()
        return True

    async def half_close(self) -> None:
        """Send no more messages.

        Raises:
            StreamTerminatedError: The stream is over.
        """
        if not self.half_close_nowait():
            await self._over()

    def _keep(self, framed: bytes) -> None:
        assert self.kept is not None
        if self.unsent.taken + self.unsent.size + len(framed) > self.session.max_kept:
            self.kept = None
        else:
            self.kept.append(framed)

    def repeat(self, kept: Iterable[bytes], *, half_close: bool) -> None:
        """Send framed messages that were kept, unless the call is over. Never waits: they are within ``max_unsent``."""
        if self.is_open:
            for framed in kept:
                self.session.connection.send_message(self, framed)
            if half_close:
                self.session.connection.half_close(self)
            self.session.flush_soon()

    async def receive_response(self) -> Response | None:
        """Wait for the head of the response; None if the call ended without one."""
        while self.response is None and self.trailers is None:
            await self._received.wait()
        return self.response

    async def receive_trailers(self) -> Trailers:
        """Wait until the call has ended."""
        while self.trailers is None:
            await self._received.wait()
        return self.trailers

    def cancel(self, verdict: Trailers) -> None:
        """End the call with RST_STREAM CANCEL; tasks that wait for it get the verdict. Never waits.

        If it is over already, its status does not change.
        """
        if self.outcome is None:
            self.supersede(verdict)
        self.reset()

    def supersede(self, verdict: Trailers) -> None:
        """Let this be how the call ended, even if it has failed, and do not send it again."""
        self.kept = None
        self.conclude(verdict)
        self.trailers = verdict

    def start_response(self, response: Response) -> None:
        """For the session: the response's head has arrived."""
        self.response = response
        self.kept = None  # Not needed any more, and the call may be a long one.
        self._received.set()

    def conclude(self, trailers: Trailers, *, unprocessed: bool = False) -> None:
        """End the call with these trailers. Only the first call counts."""
        if self.trailers is None:
            self.trailers = trailers
            self.unprocessed = unprocessed
            self._ended = True
            if trailers.status is Status.OK:
                self.messages.close()  # After a failure, a message cut short is no error of its own.
            self.terminate()

    def expire(self) -> None:
        """End the call: its deadline has passed."""
        self.conclude(Trailers(Status.DEADLINE_EXCEEDED, "the deadline passed"))
        self.reset()

    def _give_up_sending(self, reason: str) -> None:
        self.conclude(Trailers(Status.UNAVAILABLE, reason))
        self.reset()
