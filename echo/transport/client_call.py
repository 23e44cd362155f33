"""A call we made, as the client's session and the streams above it see it."""

import math
from functools import partial
from typing import TYPE_CHECKING

import anyio

from echo.transport.call import Call
from echo.transport.signal import Signal
from echo.wire.compression import IDENTITY
from echo.wire.head import Response, Trailers
from echo.wire.message import encode_compressed
from echo.wire.status import Status

if TYPE_CHECKING:
    from echo.transport.client import ClientSession


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
