"""A call that stays open for long, with a message and its reply now and then, and how it is cut off."""

from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.calls import BIDIRECTIONAL
from echo.probe.http2 import Http2, Stream
from echo.probe.path import Path

ANSWER: Final = 3.0  # Seconds that an answer may take.


@dataclass(frozen=True)
class Cut:
    """How something was cut off.

    Attributes:
        cause: ``reset``, ``goaway``, ``closed`` or ``silence``.
        at: When, on trio's clock; for ``silence``, when it was noticed.
    """

    cause: str
    at: float


def whole_messages(data: bytes | bytearray) -> int:
    """The number of complete gRPC messages in the data."""
    at = count = 0
    while len(data) >= at + 5:
        at += 5 + int.from_bytes(data[at + 1 : at + 5], "big")
        count += at <= len(data)
    return count


def cut_of(stream: Stream, connection: Http2) -> Cut | None:
    """How a call that neither side has ended was cut off; None if it is open."""
    if stream.reset is not None:
        return Cut("reset", stream.reset)
    if stream.ended is not None:
        return Cut("reset", stream.ended)  # A hop ended it, with a status of its own.
    return cut_of_connection(connection)


def cut_of_connection(connection: Http2) -> Cut | None:
    """How a connection was cut off; None if it is open."""
    if connection.ended_at is None:
        return None
    return Cut("goaway" if connection.goaways else "closed", connection.ended_at)


class Talk:
    """A bidirectional call on a connection.

    Attributes:
        call_id: The name that the server records it under.
        began: When it began.
        last: When its last reply came.
    """

    def __init__(self, path: Path, connection: Http2) -> None:
        self.call_id = path.new_call_id()
        self.connection = connection
        self.began = self.last = trio.current_time()
        self._message = path.message(BIDIRECTIONAL)
        self._stream = path.begin(connection, BIDIRECTIONAL, call_id=self.call_id)

    @property
    def cut(self) -> Cut | None:
        """How it was cut off; None if it was not, as far as we know."""
        return cut_of(self._stream, self.connection)

    async def say(self, within: float = ANSWER) -> bool:
        """Send a message; returns whether its reply comes within so many seconds."""
        stream = self._stream
        stream.data.clear()
        stream.arrivals.clear()
        with trio.move_on_after(within):
            if await stream.send(self._message):
                await self.connection.until(lambda: stream.data or stream.over)
        if stream.replied:
            self.last = trio.current_time()
        return stream.replied

    async def silent(self, seconds: float) -> Cut | None:
        """Stay silent for so many seconds after the last reply; returns how the call was cut off meanwhile."""
        with trio.move_on_at(self.last + seconds):
            await self.connection.until(lambda: self.cut)
        return self.cut

    def leave(self) -> None:
        """Cancel the call."""
        if self.cut is None:
            self._stream.cancel()
