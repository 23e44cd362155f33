"""A message decoder that reports each message when it has arrived, even before it is asked for.

Few streams are watched. Watching is a decoder class of its own, so that the other streams do not pay for it.
"""

from collections.abc import Callable

from echo.wire.message import PREFIX_SIZE, MessageDecoder, unpack_prefix

Arrived = Callable[[int, bool], None]
"""Called with each message's size on the wire, without the prefix, and whether it is compressed."""


class WatchedDecoder(MessageDecoder):
    """Replaces a decoder that has not returned any message yet.

    Args:
        decoder: The decoder to replace. Messages that it already holds are reported at once.
        arrived: Called for each message that has arrived.
    """

    __slots__ = ("_arrived", "_reported")

    def __init__(self, decoder: MessageDecoder, arrived: Arrived) -> None:
        super().__init__(decoder.limit, decoder.encoding)
        self.buffer, self._at = decoder.buffer, decoder._at
        self._closed, self.failure = decoder._closed, decoder.failure
        self.messages, self.consumed = decoder.messages, decoder.consumed
        self._arrived = arrived
        self._reported = self.consumed  # Where the first message that has not been reported begins in the stream.
        self._report_arrivals()

    def feed(self, data: bytes) -> None:  # noqa: D102 - as in MessageDecoder
        kept = not self._closed and self.failure is None
        super().feed(data)
        if kept:
            self._report_arrivals()

    def _report_arrivals(self) -> None:
        at = self._at + self._reported - self.consumed  # In the buffer: what was returned has been reported.
        while at + PREFIX_SIZE <= len(self.buffer):
            flag, size = unpack_prefix(self.buffer, at)
            at += PREFIX_SIZE + size
            if at > len(self.buffer):
                break
            self._reported += PREFIX_SIZE + size
            self._arrived(size, bool(flag))
