"""One call as the layers above see it: whole messages, to be awaited, and its end.

A call belongs to the task (or the few tasks of one nursery) that works on it; one may send while another receives.
The session's reader puts in what comes and never waits for it: what a call holds is bounded by its stream's window
until the application asks for a message, and by the message's own size, checked first, from then on.
"""

import math
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from grpclib.exceptions import StreamTerminatedError
from h2.errors import ErrorCodes

from echo.transport.signal import Signal
from echo.wire.compression import IDENTITY, accepts
from echo.wire.head import Request, Response, Trailers
from echo.wire.message import MessageDecoder, encode_compressed, encode_message
from echo.wire.status import Status

if TYPE_CHECKING:
    from echo.transport.client import ClientSession
    from echo.transport.server import ServerSession
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


class ServerCall(Call):
    """A call to be served.

    Attributes:
        request: Its head.
        task: The handler's. It is cancelled when the client resets the call or vanishes, and when the server gives the
            call up.
        verdict: What the client is told if the handler is cut short.
        encoding: How messages that are sent may be compressed, for the response's head to say.
    """

    __slots__ = (
        "_server_connection",
        "deadline",
        "encoding",
        "peer",
        "request",
        "task",
        "verdict",
    )

    def __init__(self, session: "ServerSession", stream_id: int, request: Request) -> None:
        super().__init__(session, stream_id, request.encoding)
        self.request = request
        self.peer = session.peer
        self._server_connection = session.connection
        self.deadline = math.inf if request.timeout is None else anyio.current_time() + request.timeout
        self.task: anyio.TaskHandle[None] | None = None
        self.verdict: Trailers | None = None
        self.encoding = IDENTITY

    def compress(self, encoding: str) -> None:
        """Send messages in this encoding, if the client reads it; to be said before the response's head is sent."""
        if accepts(self.request.accept_encoding, encoding):
            self.encoding = encoding
            self.encoder = partial(encode_compressed, encoding)

    async def send_response(self, response: Response) -> None:
        """Send the response's head.

        Raises:
            StreamTerminatedError: The stream is over.
            LocalProtocolError: The head was already sent.
            ValueError, TypeError: The metadata cannot be sent.
        """
        if not self.is_open:
            await self._over()
        self._server_connection.send_response(self.id, response)
        self._session.wake_writer()

    async def finish(self, trailers: Trailers) -> None:
        """End the call with its status after the messages sent so far; waits until they could be sent.

        Raises:
            StreamTerminatedError: The stream is over.
            ValueError, TypeError: The metadata cannot be sent.
        """
        if not self.is_open:
            await self._over()
        done = self._server_connection.send_trailers(self.id, trailers)
        self._session.wake_writer()
        while not done and self.is_open:
            await self._wait(self._relieved)

    def abort(self, trailers: Trailers) -> None:
        """End the call now, leaving out messages not sent yet. Never waits; does nothing to a call that is over."""
        self._server_connection.abort(self.id, trailers)
        self._session.wake_writer()

    def give_up(self, verdict: Trailers) -> None:
        """Cancel the handler; the client, if there is one, is told the verdict."""
        self.verdict = verdict
        if self.task is not None:
            self.task.cancel()

    def break_off(self, verdict: Trailers) -> None:
        """The client is gone: cancel the handler."""
        # In this order: a handler that waits shall be cancelled, and not be told of an end that never came. Only what
        # has shielded itself hears of it by the error of its own next step.
        self.give_up(verdict)
        self.terminate()


class ClientCall(Call):
    """A call we made.

    Attributes:
        response: The head of the response, once it has come.
        trailers: How the call ended, once it has.
        unprocessed: It ended before the server has done anything about it: it may be made anew.
        session: The connection it was made on.
    """

    __slots__ = (
        "_client_connection",
        "_deadline",
        "encoder",
        "peer",
        "response",
        "session",
        "trailers",
        "unprocessed",
    )

    def __init__(self, session: "ClientSession", stream_id: int, encoding: str, deadline: float) -> None:
        super().__init__(session, stream_id, IDENTITY)
        self.session = session
        if encoding != IDENTITY:
            self.encoder = partial(encode_compressed, encoding)
        self.peer = session.peer
        self._client_connection = session.connection
        self._deadline = deadline
        self.response: Response | None = None
        self.trailers: Trailers | None = None
        self.unprocessed = False

    async def half_close(self) -> None:
        """Send no more messages.

        Raises:
            StreamTerminatedError: The stream is over.
        """
        if not self.is_open:
            await self._over()
        self._client_connection.half_close(self.id)
        self._session.wake_writer()

    async def receive_response(self) -> None:
        """Wait until `response` or `trailers` is there."""
        while self.response is None and self.trailers is None:
            await self._wait(self._received)

    async def receive_trailers(self) -> Trailers:
        """Wait until the call has ended."""
        while self.trailers is None:
            await self._wait(self._received)
        return self.trailers

    def start_response(self, response: Response) -> None:
        """For the session: the response's head came."""
        self.response = response
        self._decoder.encoding = response.encoding
        self._received.set()

    def conclude(self, trailers: Trailers, *, unprocessed: bool = False) -> None:
        """For the session: the call ended so. Only the first word counts."""
        if self.trailers is None:
            self.trailers = trailers
            self.unprocessed = unprocessed
            if trailers.status is Status.OK:
                self.end()
            else:
                # A message that is cut short now is so because of the failure; the failure is what the caller hears.
                self._ended = True
            self.terminate()

    async def _wait(self, signal: Signal) -> None:
        if self._deadline == math.inf:
            await signal.wait()
            return
        with anyio.CancelScope(deadline=self._deadline) as scope:
            await signal.wait()
        if scope.cancelled_caught:  # Whoever waited finds the call ended, and how.
            self.conclude(Trailers(Status.DEADLINE_EXCEEDED, "the deadline passed"))
            self.reset()
