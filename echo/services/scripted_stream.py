"""The stream that the handler of a scripted call gets: it receives and sends as the script says."""

from collections.abc import Callable
from typing import Any

import anyio

from echo.evidence import Recording
from echo.rpc import ServerStream
from echo.scripting import Script
from echo.services.large import LargeResponses

Pad = Callable[[Any, int], None]
"""Pads a response to a number of bytes, unless it has more."""


class EndedError(Exception):
    """Raised in the handler where the script ends the call."""


class ScriptedStream:
    """The surface of a stream that handlers of generated services use.

    Args:
        stream: The call.
        script: What is asked for.
        limit: How many responses to send before `EndedError` is raised; None for no limit.
        pad: Pads a response.
        large: Room for large ones.
        recording: Of the call, if it is recorded.

    Attributes:
        interval: Seconds from one response to the next.
        sent: How many responses were sent.
    """

    def __init__(
        self,
        stream: ServerStream[Any, Any],
        script: Script,
        limit: int | None,
        pad: Pad,
        large: LargeResponses,
        recording: Recording | None,
    ) -> None:
        self._stream = stream
        self._script = script
        self._limit = limit
        self._pad = pad
        self._large = large
        self._recording = recording
        self._stalled = not script.stall
        self._delayed = not script.delay
        self._last = 0.0  # When the last response was sent.
        self.interval = script.interval or 0.0
        self.sent = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)  # Metadata, deadline and the like.

    async def announce(self) -> None:
        """Send the response's head with the scripted headers: it tells the client that the call has arrived."""
        if self._script.headers:
            await self._stream.send_initial_metadata(metadata=self._script.headers)
        else:
            await self._stream.announce()

    def drain_connection(self) -> None:
        """As `ServerStream.drain_connection`."""
        self._stream.drain_connection()

    async def recv_message(self) -> Any:
        """As `ServerStream.recv_message`, after the stall."""
        if not self._stalled:
            await anyio.sleep(self._script.stall)
            self._stalled = True
        return await self._stream.recv_message()

    def __aiter__(self) -> "ScriptedStream":
        return self

    async def __anext__(self) -> Any:
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message

    async def send_message(self, message: Any) -> None:
        """Send a response as the script says.

        Raises:
            EndedError: The call is to end now.
            GRPCError: RESOURCE_EXHAUSTED: too many large responses wait.
        """
        if self.sent == self._limit:
            raise EndedError
        await self.turn()
        if self._script.headers and not self._stream.head_sent:
            await self._stream.send_initial_metadata(metadata=self._script.headers)
        await self._send(message)
        self._last = anyio.current_time()
        self.sent += 1
        if self._recording is not None:
            self._recording.note_change()
        if self._script.goaway and self.sent == self._script.after:
            self._stream.drain_connection()
        if self.sent == self._limit:
            raise EndedError

    async def _send(self, message: Any) -> None:
        size = self._script.size
        if size is None:
            await self._stream.send_message(message)
            return
        async with self._large.room(self._stream, size):
            self._pad(message, size)
            await self._stream.send_message(message)

    async def turn(self) -> None:
        """Wait until the next response is due."""
        if self.sent and self.interval:
            await anyio.sleep_until(self._last + self.interval)
        await self.delay()

    async def delay(self) -> None:
        """Wait before the first response, or before the end if there is none."""
        if not self._delayed:
            await anyio.sleep(self._script.delay)
            self._delayed = True
