"""One call as the layers above see it: whole messages that can be awaited, and its end.

A call extends the wire's record of its stream with the tasks that wait for it. It belongs to one task, or to a few
tasks of one nursery; one may send while another receives. The session's reader adds what arrives and never waits. What
a call buffers is bounded by its stream's window until the application asks for a message, and from then on by the
message's size, which is checked first.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NoReturn

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from grpclib.exceptions import StreamTerminatedError

from echo.transport.waiting import SignalLike, until_read
from echo.wire import CLOSED, ErrorCode, Stream, encode_message

if TYPE_CHECKING:
    from echo.transport.session import Session

# Messages that are ready need no trip through the scheduler. But one in so many makes it, or a busy stream would starve
# the others and never notice that it is cancelled.
MESSAGES_PER_YIELD: Final = 64  # Received and sent together.


class Call(Stream):
    """What both sides of a call share: messages in, messages out, reset.

    Attributes:
        session: The connection that carries it.
        encoder: Frames a message for sending: compresses it where needed and adds the prefix.
    """

    __slots__ = ("_ended", "_received", "_room", "_terminated", "_until_yield", "encoder", "session")

    def __init__(
        self, session: "Session", stream_id: int, max_message_size: int, receive_window: int, send_window: int
    ) -> None:
        super().__init__(stream_id, max_message_size, receive_window, send_window)
        self.session: Session = session
        self.encoder: Callable[[bytes], bytes] = encode_message
        self._ended = False  # The peer will send no more messages.
        self._terminated = False  # The stream was cut off, or is over.
        self._received: SignalLike = session.backend.signal()
        self._room: SignalLike | None = None  # Made when a sender first has to wait.
        self._until_yield = MESSAGES_PER_YIELD

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent, or the call be ended."""
        return not self._terminated and self.state != CLOSED

    def receive_nowait(self) -> bytes | None:
        """The next message if it has arrived and no yield to other tasks is due; else None.

        Raises:
            GRPCError: See `receive_message`.
        """
        # Without a look at what is there, every message of a stream that waits for it would be looked for twice.
        return self._next_message() if self.messages.buffer and self._until_yield > 1 else None

    def _next_message(self) -> bytes | None:
        acknowledged = self.acknowledged
        message = self.session.connection.next_message(self)
        if self.acknowledged != acknowledged:
            self.session.flush_soon()  # There may be a WINDOW_UPDATE to send.
        if message is not None and self._until_yield > 1:
            self._until_yield -= 1
        return message

    def arrival(self) -> Awaitable[None] | None:
        """What to await at once before `receive_nowait` is called again; None where `receive_message` does more.

        It spares idle streams the coroutine of `receive_message`.
        """
        over = self._ended or self._terminated or self.state == CLOSED or self.messages.failure is not None
        return None if over or self._until_yield == 1 else self._received.wait()

    async def receive_message(self) -> bytes | None:
        """Wait for the next message, decompressed; None after the last. Cancelling it loses no message.

        Raises:
            GRPCError: The peer's message is invalid (INTERNAL) or too large (RESOURCE_EXHAUSTED).
            StreamTerminatedError: The stream was cut off before the peer ended it.
        """
        if self._until_yield == 1:
            await self._yield()
        while True:
            if self.messages.buffer or self.messages.failure is not None:
                message = self._next_message()
                if message is not None:
                    return message
            if self._ended:
                if self._terminated:
                    # Some clients, and haproxy always, half-close a stream before they reset it. Then the handler has
                    # been cancelled, and must not mistake the cancelled call for a complete one.
                    await checkpoint_if_cancelled()
                return None
            if self._terminated or self.state == CLOSED:
                await self._over()
            await self._received.wait()

    @property
    def exhausted(self) -> bool:
        """Whether the peer has sent everything, and all of it was received."""
        return self._ended and not self._terminated and self.messages.empty

    def send_nowait(self, message: bytes, hold: bool = False) -> bool:
        """Send one message like `send_message` if neither waiting nor a yield is due; returns whether it was sent.

        ``hold`` is not keyword-only, as Python calls functions that have such parameters more slowly.
        """
        if (
            self._until_yield == 1
            or self.unsent.size > self.session.max_unsent
            or self._terminated
            or self.state == CLOSED
        ):
            return False
        self.session.connection.send_message(self, self.encoder(message))
        if not hold:
            self.session.flush_soon()
        self._until_yield -= 1
        return True

    async def send_message(self, message: bytes, *, hold: bool = False) -> None:
        """Send one message; waits while more than ``max_unsent`` bytes of the stream are unsent.

        Returning means that the message is on its way, not that it has arrived. A cancelled send has sent nothing.

        Args:
            message: The encoded message.
            hold: Whether to wait for what follows at once, and send both together.

        Raises:
            StreamTerminatedError: The stream is over, or the peer's window has not opened for ``window_timeout``.
        """
        while not self.send_nowait(message, hold=hold):
            await self._wait_to_send()

    async def wait_until_sendable(self) -> None:
        """Wait while more than ``max_unsent`` bytes of the stream are unsent; raises like `send_message`."""
        if self.unsent.size > self.session.max_unsent:
            self.session.flush_soon()  # Messages may have been held.
        while self.unsent.size > self.session.max_unsent and self.is_open:
            await self._wait_for_room()
        if not self.is_open:
            await self._over()

    def reset(self, error_code: int = ErrorCode.CANCEL) -> None:
        """End the stream at once with RST_STREAM; does nothing if the call is over. Never waits."""
        if self.state != CLOSED:
            self.session.connection.reset(self, error_code)
            self.session.flush_soon()
            self.session.release(self)

    # For the session

    def note_data(self) -> None:
        """Bytes of messages have arrived."""
        self._received.set()

    def note_end(self) -> None:
        """The peer has half-closed the stream."""
        self._ended = True
        self._received.set()

    def note_room(self) -> None:
        """The stream's buffer has room again, or the stream is over."""
        if self._room is not None:
            self._room.set()
        if self.state == CLOSED:
            self._received.set()

    def terminate(self) -> None:
        """The stream was cut off, or is over. Wakes all tasks that wait for it, which then get an error."""
        self._terminated = True
        self._received.set()
        self.note_room()

    # For the two sides

    async def _yield(self) -> None:
        """Let other tasks run. First of all, so that a cancelled receiver or sender has taken and sent nothing."""
        self._until_yield = MESSAGES_PER_YIELD
        await checkpoint()

    async def _wait_to_send(self) -> None:
        """Wait until `send_nowait` may work. Whoever receives meanwhile may make another yield due."""
        if self._until_yield == 1:
            await self._yield()
        await self.wait_until_sendable()

    async def _over(self) -> NoReturn:
        """Raise StreamTerminatedError, or Cancelled if the task is a handler that was cancelled for it."""
        await checkpoint()
        raise StreamTerminatedError("the call is over")

    async def _wait_for_room(self) -> None:
        """Wait until unsent data has left; gives up after ``window_timeout`` if the peer keeps its window shut."""
        before, since = self.unsent.size, self.session.backend.now()
        if self._room is None:
            self._room = self.session.backend.signal()
        with anyio.move_on_after(self.session.limits.window_timeout) as waiting:
            try:
                await self._room.wait()
            finally:
                self._note_stall(self.session.backend.now() - since)
        if waiting.cancelled_caught:
            await until_read()
            if self.unsent.size >= before and self.is_open:
                self._give_up_sending(
                    f"the other side took no data of the call for {self.session.limits.window_timeout:g} s"
                )

    def _note_stall(self, seconds: float) -> None:
        """Sending had to wait this long for the peer to take more."""
        self.session.tally.stall(seconds)

    def _give_up_sending(self, reason: str) -> None:
        self.reset()
        self.terminate()
        raise StreamTerminatedError(reason)
