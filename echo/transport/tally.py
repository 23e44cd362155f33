"""Counters about the connections of a server or a channel."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counters that only grow. All connections of a server or a channel share one.

    Attributes:
        connections: Connections that were started.
        ended: Connections that have ended.
        refused: Connections that were refused or failed to open, by reason: one of a few short texts.
        refused_calls: Calls refused with RST_STREAM REFUSED_STREAM, by reason.
        drained: Connections that sent or received a GOAWAY for new calls.
        stalls: How often sending had to wait for the peer to take more.
        stalled: How many seconds it waited in total.
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
        """How many connections are open."""
        return self.connections - self.ended

    def refuse(self, why: str) -> None:
        """Count a refused connection."""
        self.refused[why] = self.refused.get(why, 0) + 1

    def refuse_calls(self, why: str, calls: int) -> None:
        """Count refused calls."""
        if calls:
            self.refused_calls[why] = self.refused_calls.get(why, 0) + calls

    def stall(self, seconds: float) -> None:
        """Count a stall of this many seconds."""
        self.stalls += 1
        self.stalled += seconds
