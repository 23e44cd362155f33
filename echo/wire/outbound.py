"""The unsent messages of one stream, taken in pieces that fit a DATA frame and the window."""


class OutboundBuffer:
    """A queue of framed messages, read as one sequence of bytes.

    Attributes:
        size: Bytes not yet taken.
        taken: Bytes taken so far.
        messages: Messages taken completely.
    """

    __slots__ = ("_messages", "_offset", "messages", "size", "taken")

    size: int
    taken: int
    messages: int

    def __init__(self) -> None:
        # A list, since a deque takes twelve times the memory and most streams are idle. `take` removes all the messages
        # it has taken in one step, so the only cost is to copy what is left of the list.
        self._messages: list[bytes] = []
        self._offset = 0  # Bytes of the first message already taken.
        self.size = self.taken = self.messages = 0

    def push(self, message: bytes) -> None:
        """Add one framed message at the end."""
        self._messages.append(message)
        self.size += len(message)

    def clear(self) -> None:
        """Drop everything not yet taken."""
        self._messages.clear()
        self._offset = self.size = 0

    def take(self, limit: int) -> bytes:
        """Take at most ``limit`` bytes off the front, across messages."""
        messages = self._messages
        if not self._offset and self.size <= limit:  # The common case.
            data = b"".join(messages)
            self.messages += len(messages)
            self.taken += self.size
            self.size = 0
            messages.clear()
            return data
        pieces: list[memoryview] = []
        room = limit
        whole = 0
        for message in messages:
            piece = memoryview(message)[self._offset : self._offset + room]
            pieces.append(piece)
            room -= len(piece)
            self._offset += len(piece)
            if self._offset < len(message):
                break
            self._offset = 0
            whole += 1
        del messages[:whole]
        self.messages += whole
        self.taken += limit - room
        self.size -= limit - room
        return b"".join(pieces)
