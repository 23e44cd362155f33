"""Flow control: how much the peer may send us, and how much we may send the peer (RFC 9113 §6.9).

Every DATA frame, padding included, counts against two windows in its direction: its stream's and the connection's.
"""

from echo.wire.frames import MAX_WINDOW


class ReceiveWindow:
    """How much the peer may send us. Consumed bytes are returned to it once they amount to half the window.

    Attributes:
        size: The size of the window, in bytes.
        open: How many bytes the peer may send now. Negative after a smaller size has taken effect.
        credit: Bytes consumed but not yet returned.
    """

    __slots__ = ("credit", "open", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.open = size
        self.credit = 0

    def receive(self, size: int) -> bool:
        """Count received bytes; False, and nothing counted, if they exceed the window."""
        if size > self.open:
            return False
        self.open -= size
        return True

    def give_back(self, size: int) -> int:
        """Count consumed bytes and return the increment to announce now: mostly 0, since announcing costs a frame."""
        self.credit += size
        if self.credit * 2 < self.size:
            return 0
        increment = self.credit
        self.credit = 0
        self.open += increment
        return increment

    def resize(self, size: int) -> None:
        """Change the window's size; ``open`` changes by the difference (RFC 9113 §6.9.2)."""
        self.open += size - self.size
        self.size = size


class SendWindow:
    """How much we may send. A stream's window may be negative (RFC 9113 §6.9.2).

    Attributes:
        open: Bytes that may be sent now.
    """

    __slots__ = ("open",)

    def __init__(self, size: int) -> None:
        self.open = size

    def widen(self, increment: int) -> bool:
        """Add the peer's increment, negative if its settings shrink the window; False if it would exceed 2^31-1."""
        if self.open + increment > MAX_WINDOW:
            return False
        self.open += increment
        return True
