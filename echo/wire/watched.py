"""A message decoder that reports each message when it has arrived, even before it is asked for.

Few streams are watched. Watching is a decoder class of its own, so that the other streams do not pay for it.
"""

from collections.abc import Callable

from echo.wire.message import PREFIX_SIZE, MessageDecoder

Arrived = Callable[[int, bool], None]
"""Called with each message's size on the wire, without the prefix, and whether it is compressed."""


class WatchedDecoder(MessageDecoder):
    """Replaces a decoder that has not returned any message yet.

    Args:
        decoder: The decoder to replace. Messages that it already holds are reported at once.
        arrived: Called for each message that has arrived.
    """

    __slots__ = ("_arrived", "_left", "_prefix", "_size")

    def __init__(self, decoder: MessageDecoder, arrived: Arrived) -> None:
        super().__init__(decoder.limit, decoder.encoding)
        self.buffer, self._at = decoder.buffer, decoder._at
        self._closed, self.failure = decoder._closed, decoder.failure
        self.messages, self.consumed = decoder.messages, decoder.consumed
        self._arrived = arrived
        self._prefix = b""  # The prefix of the arriving message, as far as it has arrived,
        self._size = 0  # the size that it announces,
        self._left = 0  # and how much of the message is still to come.
        self._report_arrivals(self.buffer[self._at :])

    def feed(self, data: bytes) -> None:  # noqa: D102 - as in MessageDecoder
        watching = not self._closed and self.failure is None
        super().feed(data)
        if watching:
            self._report_arrivals(data)

    def _report_arrivals(self, data: bytes | bytearray) -> None:
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
