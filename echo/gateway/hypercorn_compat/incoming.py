"""Messages put together from frames, within a limit, in batches of what came in one read."""

from echo.gateway.hypercorn_compat.frames import Frame

Message = str | bytes


class Incoming:
    """The messages of one WebSocket, as they come in.

    Attributes:
        too_big: One was over the limit.
    """

    def __init__(self, limit: int) -> None:
        """``limit`` is in bytes, of a text as UTF-8."""
        self.too_big = False
        self._limit = limit
        self._parts: list[Message] = []  # Of a message that is not complete yet,
        self._size = 0  # and how many bytes they have.
        self._whole: list[Message] = []

    def add(self, frame: Frame) -> bool:
        """Add a frame, or what there is of it yet; false for the one that brings its message over the limit.

        Nothing is kept of that message, nor of what comes behind it.
        """
        if self.too_big:
            return True
        data = frame.payload
        assert not isinstance(data, tuple)
        size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        if self._size + size > self._limit:
            self.too_big = True
            self._parts = []
            return False
        if not frame.message_finished:
            self._parts.append(data)
            self._size += size
        elif not self._parts:
            self._whole.append(data)
        else:
            self._parts.append(data)
            self._whole.append(type(data)().join(self._parts))  # type: ignore[arg-type]  # All of one kind.
            self._parts = []
            self._size = 0
        return True

    def take(self) -> list[Message]:
        """The messages that are complete."""
        whole, self._whole = self._whole, []
        return whole
