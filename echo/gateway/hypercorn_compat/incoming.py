"""Assembles messages from frames, up to a size limit, and batches those from one read."""

from echo.gateway.hypercorn_compat.frames import Frame

Message = str | bytes


class Incoming:
    """The incoming messages of one WebSocket.

    Attributes:
        too_big: Whether a message exceeded the limit.
    """

    def __init__(self, limit: int) -> None:
        """``limit`` is in bytes; text counts as UTF-8."""
        self.too_big = False
        self._limit = limit
        self._part = bytearray()  # An incomplete message.
        self._whole: list[Message] = []

    def add(self, frame: Frame) -> bool:
        """Add a frame, or a part of one; False if it brings its message over the limit.

        That message and everything after it is discarded.
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
        """Take the complete messages."""
        whole, self._whole = self._whole, []
        return whole
