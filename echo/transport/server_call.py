"""A call to be served, as the server's session and its dispatcher see it."""

import math
from functools import partial
from typing import TYPE_CHECKING

import anyio

from echo.transport.call import Call
from echo.wire.compression import IDENTITY, accepts
from echo.wire.head import Request, Response, Trailers
from echo.wire.message import encode_compressed

if TYPE_CHECKING:
    from echo.transport.server import ServerSession


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
