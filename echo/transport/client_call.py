"""A call we made, as the client's session and the streams above it see it."""

import math
from functools import partial
from typing import TYPE_CHECKING

from echo.transport.call import Call
from echo.wire import Response, Status, Trailers, encode_compressed

if TYPE_CHECKING:
    from echo.transport.client import ClientSession
    from echo.transport.deadlines import Alarm


class ClientCall(Call):
    """A call we made. It ends when its deadline passes, even if nobody is waiting for it.

    Attributes:
        response: The head of the response, once it has arrived.
        trailers: How the call ended, once it has.
        unprocessed: Whether the server did not process the call, so that it may be sent again.
        deadline: On the event loop's clock, in seconds; infinity for none.
        alarm: Its entry among the connection's deadlines.
        concluded: When the server or the connection ended it, on the event loop's clock; None if neither has.
    """

    __slots__ = ("alarm", "concluded", "deadline", "response", "trailers", "unprocessed")

    session: "ClientSession"

    def __init__(
        self, session: "ClientSession", stream_id: int, max_message_size: int, receive_window: int, send_window: int
    ) -> None:
        super().__init__(session, stream_id, max_message_size, receive_window, send_window)
        self.response: Response | None = None
        self.trailers: Trailers | None = None
        self.unprocessed = False
        self.deadline = math.inf
        self.alarm: Alarm | None = None
        self.concluded: float | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the call has ended, and all that the server sent was received."""
        return self.trailers is not None and self.messages.empty

    def compress(self, encoding: str) -> None:
        """Send messages in this encoding, which is not ``identity``, as the request's head has announced."""
        self.encoder = partial(encode_compressed, encoding)

    def send_nowait(self, message: bytes, *, hold: bool = False, end: bool = False) -> bool:
        """Like `Call.send_nowait`; with ``end``, the call is half-closed after the message."""
        if not super().send_nowait(message, hold=hold or end):
            return False
        if end:
            self._end_messages()
        return True

    async def send_message(self, message: bytes, *, hold: bool = False, end: bool = False) -> None:
        """Like `Call.send_message`; with ``end``, the call is half-closed after the message."""
        await super().send_message(message, hold=hold or end)
        if end:
            self._end_messages()

    async def half_close(self) -> None:
        """Send no more messages.

        Raises:
            StreamTerminatedError: The stream is over.
        """
        if not self.is_open:
            await self._over()
        self._end_messages()

    def _end_messages(self) -> None:
        self.session.connection.half_close(self)
        self.session.flush_soon()

    async def receive_response(self) -> None:
        """Wait until `response` or `trailers` is there."""
        while self.response is None and self.trailers is None:
            await self._received.wait()

    async def receive_trailers(self) -> Trailers:
        """Wait until the call has ended."""
        while self.trailers is None:
            await self._received.wait()
        return self.trailers

    def start_response(self, response: Response) -> None:
        """For the session: the response's head has arrived."""
        self.response = response
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
