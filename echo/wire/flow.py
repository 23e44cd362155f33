"""Flow control by itself: what the peer may send us, and what we may send the peer (RFC 9113 §6.9).

Every DATA frame counts, padding included, against two windows each way: its stream's and the connection's.
"""

from echo.wire.frames import MAX_WINDOW


class ReceiveWindow:
    """What the peer may send us. Bytes that were taken are announced again once they are half of the window.

    Attributes:
        size: What may be on its way at once, in bytes.
        open: What the peer may send now. Below zero after a smaller size came into force.
        credit: Bytes that were taken and not announced yet.
    """

    __slots__ = ("credit", "open", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.open = size
        self.credit = 0

    def receive(self, size: int) -> bool:
        """Bytes came; False if they were more than the window allows, which then counts none of them."""
        if size > self.open:
            return False
        self.open -= size
        return True

    def give_back(self, size: int) -> int:
        """Bytes were taken; gives the increment to announce now, which is mostly 0: announcing costs a frame."""
        self.credit += size
        if self.credit * 2 < self.size:
            return 0
        increment = self.credit
        self.credit = 0
        self.open += increment
        return increment

    def resize(self, size: int) -> None:
        """Another size is in force: what may be on its way changes by the difference (RFC 9113 §6.9.2)."""
        self.open += size - self.size
        self.size = size


class SendWindow:
    """What we may send. A window of a stream may be below zero (RFC 9113 §6.9.2).

    Attributes:
        open: Bytes that may be sent now.
    """

    __slots__ = ("open",)

    def __init__(self, size: int) -> None:
        self.open = size

    def widen(self, increment: int) -> bool:
        """The peer allows more, or by a change of its settings less; False if that exceeds what a window may be."""
        if self.open + increment > MAX_WINDOW:
            return False
        self.open += increment
        return True
