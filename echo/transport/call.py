"""One call as the layers above see it: whole messages, to be awaited, and its end.

A call belongs to the task (or the few tasks of one nursery) that works on it; one may send while another receives.
The session's reader puts in what comes and never waits for it: what a call holds is bounded by its stream's window
until the application asks for a message, and by the message's own size, checked first, from then on.
"""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, NoReturn

from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from grpclib.exceptions import StreamTerminatedError
from h2.errors import ErrorCodes

from echo.transport.signal import Signal
from echo.wire.message import MessageDecoder, encode_message

if TYPE_CHECKING:
    from echo.transport.session import Session

# A message that is ready costs no trip through the scheduler, but one in so many does, or a busy stream would starve
# the others, and never notice that it is cancelled.
MESSAGES_PER_YIELD: Final = 32


class Call:
    """What both sides of a call have in common: messages in, messages out, reset.

    Attributes:
        encoder: Makes of a message what goes onto the stream: its prefix and itself, compressed or not.
    """

    __slots__ = (
        "_acknowledged",
        "_connection",
        "_decoder",
        "_ended",
        "_fed",
        "_max_unsent",
        "_received",
        "_relieved",
        "_session",
        "_terminated",
        "_until_yield",
        "encoder",
        "id",
    )

    def __init__(self, session: "Session", stream_id: int, encoding: str) -> None:
        self.id = stream_id
        self._session = session
        self._connection = session.connection
        self.encoder = encode_message
        self._decoder = MessageDecoder(session.limits.max_message_size, encoding)
        self._max_unsent = session.limits.max_unsent
        self._fed = 0  # Bytes received,
        self._acknowledged = 0  # and of those, the ones the peer may replace by new ones.
        self._ended = False  # The peer has said that it sends no more messages.
        self._terminated = False  # The stream broke off.
        self._received = Signal()
        self._relieved = Signal()
        self._until_yield = MESSAGES_PER_YIELD

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent, or the call be ended."""
        return not self._terminated and self._connection.is_open(self.id)

    async def receive_message(self) -> bytes | None:
        """The next message, decompressed; None after the last. A receive that is cancelled has taken nothing.

        Raises:
            GRPCError: The peer's bytes are no sound message (INTERNAL), or too large a one (RESOURCE_EXHAUSTED).
            StreamTerminatedError: The stream is over, and its end did not come.
        """
        decoder = self._decoder
        self._until_yield -= 1
        if not self._until_yield:  # First, so that nothing is taken by a receive that is cancelled.
            self._until_yield = MESSAGES_PER_YIELD
            await checkpoint()
        while True:
            message = decoder.next_message()
            if message is not None:
                self._acknowledge(decoder.consumed)
                return message
            if self._ended:
                if self._terminated:
                    # Some clients, and haproxy for all of its own, half-close a stream before they reset it. Where both
                    # have come, the handler has been cancelled, and shall not take a call given up for a complete one.
                    await checkpoint_if_cancelled()
                return None
            if self._terminated:
                await self._over()
            # What lies there is the beginning of the very message that is asked for: let the rest of it come.
            self._acknowledge(self._fed)
            await self._wait(self._received)

    async def send_message(self, message: bytes) -> None:
        """Send one message; waits while the stream has more than ``max_unsent`` bytes to send already.

        Returning means that the message is on its way, not that it has arrived. A send that is cancelled has not
        sent anything.

        Raises:
            StreamTerminatedError: The stream is over.
        """
        waited = False
        while self._connection.unsent(self.id) > self._max_unsent and not self._terminated:
            await self._wait(self._relieved)
            waited = True
        if not self.is_open:
            await self._over()
        self._connection.send_message(self.id, self.encoder(message))
        self._session.wake_writer()
        self._until_yield -= 1
        if not self._until_yield:
            self._until_yield = MESSAGES_PER_YIELD
            if not waited:
                await checkpoint()

    def reset(self, error_code: int = ErrorCodes.CANCEL) -> None:
        """End the stream at once with RST_STREAM; does nothing to a call that is over. Never waits."""
        self._connection.reset(self.id, error_code)
        self._session.wake_writer()
        self._session.release(self)

    # For the session

    def feed(self, data: bytes) -> None:
        """Bytes of messages came."""
        self._fed += len(data)
        self._decoder.feed(data)
        self._received.set()

    def end(self) -> None:
        """The peer's last message came before this."""
        if not self._ended:
            self._ended = True
            self._decoder.close()
            self._received.set()

    def terminate(self) -> None:
        """The stream broke off. Whoever still waits for something of it is woken, and told."""
        self._terminated = True
        self._received.set()
        self._relieved.set()

    def relieve(self) -> None:
        """The stream's buffer has room again, or the stream is over."""
        self._relieved.set()

    # For the two sides

    async def _over(self) -> NoReturn:
        """The call is over before its time. A handler is cancelled for that; whoever is not is told by an error."""
        await checkpoint()
        raise StreamTerminatedError("the call is over")

    def _wait(self, signal: Signal) -> Awaitable[None]:
        return signal.wait()

    def _acknowledge(self, total: int) -> None:
        if total > self._acknowledged:
            if self._connection.acknowledge(self.id, total - self._acknowledged):
                self._session.wake_writer()
            self._acknowledged = total
