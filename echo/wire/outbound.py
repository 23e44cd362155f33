"""What one stream still has to send: framed messages, taken off in pieces that fit a DATA frame and the window."""

from collections import deque


class OutboundBuffer:
    """A queue of framed messages, read as one run of bytes."""

    __slots__ = ("_messages", "_offset", "_size")

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._offset = 0  # Bytes of the first message that are already taken.
        self._size = 0

    def __len__(self) -> int:
        """Bytes not yet taken."""
        return self._size

    def push(self, message: bytes) -> None:
        """Add one framed message at the end."""
        self._messages.append(message)
        self._size += len(message)

    def clear(self) -> None:
        """Drop everything that has not been taken."""
        self._messages.clear()
        self._offset = self._size = 0

    def take(self, limit: int) -> bytes:
        """Take at most ``limit`` bytes off the front, of as many messages as fit."""
        messages = self._messages
        first = messages[0]
        if not self._offset and len(messages) == 1 and len(first) <= limit:
            # The common case, one small message: no copy.
            messages.clear()
            self._size = 0
            return first
        pieces: list[bytes | memoryview] = []
        room = limit
        while messages and room:
            first = messages[0]
            left = len(first) - self._offset
            if left <= room:
                pieces.append(memoryview(first)[self._offset :] if self._offset else first)
                messages.popleft()
                self._offset = 0
                room -= left
            else:
                pieces.append(memoryview(first)[self._offset : self._offset + room])
                self._offset += room
                room = 0
        self._size -= limit - room
        return b"".join(pieces)
