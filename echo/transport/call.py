"""One call as the layers above see it: whole messages, to be awaited, and its end.

A call is the wire's record of its stream and, beside that, who waits for something of it. It belongs to the task (or
the few tasks of one nursery) that works on it; one may send while another receives. The session's reader puts in what
comes and never waits for it: what a call holds is bounded by its stream's window until the application asks for a
message, and by the message's own size, checked first, from then on.
"""

from typing import TYPE_CHECKING, Final, NoReturn

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from grpclib.exceptions import StreamTerminatedError

from echo.transport.waiting import SignalLike
from echo.wire import CLOSED, ErrorCode, Stream, encode_message

if TYPE_CHECKING:
    from echo.transport.session import Session

# A message that is ready costs no trip through the scheduler, but one in so many does, or a busy stream would starve
# the others, and never notice that it is cancelled.
MESSAGES_PER_YIELD: Final = 64  # Taken and sent, together.


class Call(Stream):
    """What both sides of a call have in common: messages in, messages out, reset.

    Attributes:
        session: The connection it is made on.
        encoder: Makes of a message what goes onto the stream: its prefix and itself, compressed or not.
    """

    __slots__ = ("_ended", "_received", "_relieved", "_terminated", "_until_yield", "encoder", "session")

    def __init__(
        self, session: "Session", stream_id: int, max_message_size: int, receive_window: int, send_window: int
    ) -> None:
        super().__init__(stream_id, max_message_size, receive_window, send_window)
        self.session = session
        self.encoder = encode_message
        self._ended = False  # The peer has said that it sends no more messages.
        self._terminated = False  # The stream broke off, or is over.
        self._received: SignalLike = session.backend.signal()
        self._relieved: SignalLike | None = None  # Made when a sender first has to wait.
        self._until_yield = MESSAGES_PER_YIELD

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent, or the call be ended."""
        return not self._terminated and self.state != CLOSED

    def receive_nowait(self) -> bytes | None:
        """The next message if it is here and may be taken without making way for other tasks; else None.

        Raises:
            GRPCError: As `receive_message`.
        """
        return None if self._until_yield == 1 else self._take()

    def _take(self) -> bytes | None:
        acknowledged = self.acknowledged
        message = self.session.connection.next_message(self)
        if self.acknowledged != acknowledged:
            self.session.flush_soon()  # The peer may have to hear that it may send more.
        if message is not None and self._until_yield > 1:
            self._until_yield -= 1
        return message

    async def receive_message(self) -> bytes | None:
        """The next message, decompressed; None after the last. A receive that is cancelled has taken nothing.

        Raises:
            GRPCError: The peer's bytes are no sound message (INTERNAL), or too large a one (RESOURCE_EXHAUSTED).
            StreamTerminatedError: The stream is over, and its end did not come.
        """
        await self._make_way()
        while True:
            message = self._take()
            if message is not None:
                return message
            if self._ended:
                if self._terminated:
                    # Some clients, and haproxy for all of its own, half-close a stream before they reset it. Where both
                    # have come, the handler has been cancelled, and shall not take a call given up for a complete one.
                    await checkpoint_if_cancelled()
                return None
            if self._terminated:
                await self._over()
            await self._received.wait()

    @property
    def exhausted(self) -> bool:
        """Whether the peer has sent all it had to, and all of it was taken."""
        return self._ended and not self._terminated and self.messages.empty

    def send_nowait(self, message: bytes, *, hold: bool = False) -> bool:
        """Send one message, as `send_message`, if that takes no waiting and no making way; tell whether it was sent."""
        if (
            self._until_yield == 1
            or self.unsent.size > self.session.max_unsent
            or self._terminated
            or self.state == CLOSED
        ):
            return False
        self._put(message, hold=hold)
        return True

    def _put(self, message: bytes, *, hold: bool) -> None:
        session = self.session
        session.connection.send_message(self, self.encoder(message))
        if not hold:
            session.flush_soon()
        if self._until_yield > 1:
            self._until_yield -= 1

    async def send_message(self, message: bytes, *, hold: bool = False) -> None:
        """Send one message; waits while the stream has more than ``max_unsent`` bytes to send already.

        Returning means that the message is on its way, not that it has arrived. A send that is cancelled has not
        sent anything.

        Args:
            message: Encoded.
            hold: Something follows at once that the message may leave with.

        Raises:
            StreamTerminatedError: The stream is over, or the peer's window has not opened for ``window_timeout``.
        """
        await self._make_way()
        while self.unsent.size > self.session.max_unsent and self.is_open:
            await self._wait_for_room()
        if not self.is_open:
            await self._over()
        self._put(message, hold=hold)

    async def settle(self) -> None:
        """Wait while the stream has more than ``max_unsent`` bytes to send; raises as `send_message`."""
        if self.unsent.size > self.session.max_unsent:
            self.session.flush_soon()  # It may have been held.
        while self.unsent.size > self.session.max_unsent and self.is_open:
            await self._wait_for_room()
        if not self.is_open:
            await self._over()

    def reset(self, error_code: int = ErrorCode.CANCEL) -> None:
        """End the stream at once with RST_STREAM; does nothing to a call that is over. Never waits."""
        if self.state != CLOSED:
            self.session.connection.reset(self, error_code)
            self.session.flush_soon()
            self.session.release(self)

    # For the session

    def note_data(self) -> None:
        """Bytes of messages came."""
        self._received.set()

    def note_end(self) -> None:
        """The peer's last message came before this."""
        self._ended = True
        self._received.set()

    def note_room(self) -> None:
        """The stream's buffer has room again, or the stream is over."""
        if self._relieved is not None:
            self._relieved.set()

    def terminate(self) -> None:
        """The stream broke off. Whoever still waits for something of it is woken, and told."""
        self._terminated = True
        self._received.set()
        self.note_room()

    # For the two sides

    async def _make_way(self) -> None:
        """Let other tasks run, one time in many; first of all, so that who is cancelled has taken and sent nothing."""
        if self._until_yield == 1:
            self._until_yield = MESSAGES_PER_YIELD
            await checkpoint()

    async def _over(self) -> NoReturn:
        """The call is over before its time. A handler is cancelled for that; whoever is not is told by an error."""
        await checkpoint()
        raise StreamTerminatedError("the call is over")

    async def _wait_for_room(self) -> None:
        """Wait until something of what is unsent has left; but not for ever, for who keeps a window shut."""
        before, since = self.unsent.size, self.session.backend.now()
        if self._relieved is None:
            self._relieved = self.session.backend.signal()
        with anyio.move_on_after(self.session.limits.window_timeout) as waiting:
            try:
                await self._relieved.wait()
            finally:
                self._note_stall(self.session.backend.now() - since)
        if waiting.cancelled_caught and self.unsent.size >= before and self.is_open:
            self._give_up_sending(
                f"the other side took no data of the call for {self.session.limits.window_timeout:g} s"
            )

    def _note_stall(self, seconds: float) -> None:
        """Sending has waited so long for the peer to take more."""
        self.session.tally.stall(seconds)

    def _give_up_sending(self, reason: str) -> None:
        self.reset()
        self.terminate()
        raise StreamTerminatedError(reason)
