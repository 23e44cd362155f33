"""A raw stream of `echo.probe.http2`: what was received on it, when, and what may be sent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from echo.wire import frames

MAX_PENDING: Final = 256 * 1024  # Bytes waiting for the socket above which `Stream.send` waits.


class Carrier(Protocol):
    """The connection, as a stream sees it."""

    window: int
    ended: str

    @property
    def pending(self) -> int:
        """Bytes waiting for the socket."""

    @property
    def max_frame(self) -> int:
        """The largest frame payload that the server accepts."""

    def put(self, data: bytes) -> None:
        """Queue bytes."""

    async def changed(self) -> None:
        """Wait until something was received or sent, or the connection ended."""

    async def until(self, happened: Callable[[], object]) -> bool:
        """Wait until the condition holds; False if the connection ended first."""


@dataclass
class Stream:
    """One stream. Times are on trio's clock.

    Attributes:
        id: Its id.
        heads: The header lists received: informational ones, the response's head, its trailers.
        data: The payload of DATA received and not yet removed by the check.
        arrivals: When DATA was received, and how many bytes.
        ended: When the server sent END_STREAM; None if it has not.
        reset: When the server reset the stream; None if it has not.
        code: The code of that reset.
        held: While true, the window is not reopened, like a reader that pauses. `resume` ends the pause.
    """

    id: int
    connection: Carrier
    heads: list[list[tuple[str, str]]] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    ended: float | None = None
    reset: float | None = None
    code: int | None = None
    held: bool = False
    owed: int = 0
    window: int = frames.DEFAULT_WINDOW

    @property
    def over(self) -> bool:
        """Whether nothing more can arrive."""
        return self.ended is not None or self.reset is not None

    @property
    def fields(self) -> dict[str, str]:
        """All header lists as one; later ones win."""
        return {name: value for head in self.heads for name, value in head}

    @property
    def is_grpc(self) -> bool:
        """Whether the response is gRPC's, rather than a page by which a hop answers in the server's place."""
        return self.fields.get("content-type", "").startswith("application/grpc")

    @property
    def replied(self) -> bool:
        """Whether there is `data` of a gRPC response."""
        return bool(self.data) and self.is_grpc

    async def send(self, data: bytes, *, end: bool = False) -> bool:
        """Send DATA, waiting for the windows; returns whether everything was sent before the stream ended."""
        connection = self.connection
        while data:
            room = min(self.window, connection.window, connection.max_frame, len(data))
            if connection.ended or self.reset is not None:
                return False
            if room <= 0 or connection.pending > MAX_PENDING:
                await connection.changed()
                continue
            self.window -= room
            connection.window -= room
            last = end and room == len(data)
            connection.put(frames.frame(frames.DATA, frames.END_STREAM if last else 0, self.id, data[:room]))
            data = data[room:]
            if last:
                return True
        if end:
            self.half_close()
        return not connection.ended and self.reset is None

    def half_close(self) -> None:
        """Send END_STREAM."""
        self.connection.put(frames.frame(frames.DATA, frames.END_STREAM, self.id))

    def cancel(self, code: int = frames.ErrorCode.CANCEL) -> None:
        """Reset the stream."""
        self.connection.put(frames.rst_stream(self.id, code))

    def resume(self) -> None:
        """Continue reading after `held`."""
        self.held = False
        if self.owed:
            self.connection.put(frames.window_update(self.id, self.owed))
            self.owed = 0

    async def until_over(self) -> bool:
        """Wait until it is over; False if the connection ended first."""
        return await self.connection.until(lambda: self.over)
