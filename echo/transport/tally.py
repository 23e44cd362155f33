"""What the connections of a server, or of a channel, have gone through, in numbers that only grow."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """The numbers. Whoever has several connections gives all of them the same; adding one up costs next to nothing.

    Attributes:
        connections: Connections that were begun,
        ended: and those of them that have ended.
        refused: Connections that were refused, or could not be had, by why in a word or two, of which there are few.
        refused_calls: Calls refused by RST_STREAM REFUSED_STREAM, likewise.
        drained: Connections that were drained: that told, or were told, to make no new calls.
        stalls: How often sending had to wait for the peer to take more,
        stalled: and for how many seconds.
    """

    connections: int = 0
    ended: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    refused_calls: dict[str, int] = field(default_factory=dict)
    drained: int = 0
    stalls: int = 0
    stalled: float = 0.0

    @property
    def open(self) -> int:
        """Connections that are open."""
        return self.connections - self.ended

    def refuse(self, why: str) -> None:
        """A connection was refused."""
        self.refused[why] = self.refused.get(why, 0) + 1

    def refuse_calls(self, why: str, calls: int) -> None:
        """So many calls were refused."""
        if calls:
            self.refused_calls[why] = self.refused_calls.get(why, 0) + calls

    def stall(self, seconds: float) -> None:
        """Sending has waited."""
        self.stalls += 1
        self.stalled += seconds
