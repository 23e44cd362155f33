"""The messages of a stream with somebody told when each has arrived, whether it is asked for or not.

Only a few streams are watched, and the others shall not pay for it: a watched one has another decoder.
"""

from collections.abc import Callable

from echo.wire.message import PREFIX_SIZE, MessageDecoder

Arrived = Callable[[int, bool], None]
"""Told of each message its size as it travelled, without the prefix, and whether it is compressed."""


class WatchedDecoder(MessageDecoder):
    """Takes over from a decoder that has not given anything out.

    Args:
        decoder: The one it replaces; messages that have arrived already are told at once.
        arrived: Is told.
    """

    __slots__ = ("_arrived", "_left", "_prefix", "_size")

    def __init__(self, decoder: MessageDecoder, arrived: Arrived) -> None:
        super().__init__(decoder.limit, decoder.encoding)
        self._buffer, self._at = decoder._buffer, decoder._at
        self._closed, self._failure = decoder._closed, decoder._failure
        self.messages, self.consumed = decoder.messages, decoder.consumed
        self._arrived = arrived
        self._prefix = b""  # Of the message that is arriving, as far as it is here,
        self._size = 0  # what it says,
        self._left = 0  # and how much of the message is still to come.
        self._look(self._buffer[self._at :])

    def feed(self, data: bytes) -> None:  # noqa: D102 - as in MessageDecoder
        watching = not self._closed and self._failure is None
        super().feed(data)
        if watching:
            self._look(data)

    def _look(self, data: bytes | bytearray) -> None:
        at, size = 0, len(data)
        while at < size:
            if len(self._prefix) < PREFIX_SIZE:
                piece = data[at : at + PREFIX_SIZE - len(self._prefix)]
                self._prefix += piece
                at += len(piece)
                if len(self._prefix) < PREFIX_SIZE:
                    return
                self._size = self._left = int.from_bytes(self._prefix[1:], "big")
            step = min(self._left, size - at)
            self._left -= step
            at += step
            if not self._left:
                compressed = bool(self._prefix[0])
                self._prefix = b""
                self._arrived(self._size, compressed)
