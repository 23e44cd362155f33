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
        self._part = bytearray()  # Of a message that is not complete yet.
        self._whole: list[Message] = []

    def add(self, frame: Frame) -> bool:
        """Add a frame, or what there is of it yet; false for the one that brings its message over the limit.

        Nothing is kept of that message, nor of what comes behind it.
        """
        if self.too_big:
            return True
        data = frame.payload
        assert not isinstance(data, tuple)
        octets = data.encode() if isinstance(data, str) else data
        if len(self._part) + len(octets) > self._limit:
            self.too_big = True
            self._part.clear()
            return False
        if not frame.message_finished:
            self._part += octets
        elif not self._part:
            self._whole.append(data)
        else:
            whole = bytes(self._part + octets)
            self._part.clear()
            self._whole.append(whole.decode() if isinstance(data, str) else whole)
        return True

    def take(self) -> list[Message]:
        """The messages that are complete."""
        whole, self._whole = self._whole, []
        return whole
