"""What a check is: one question, and a way to find the answer.

A check never trusts a single observation: it compares what we saw with what the server saw (`Path.evidence`), or calls
through the path with calls that bypass it (`Path.direct`). Without that evidence it is `inconclusive`. It may raise
anything: the runner turns that into an inconclusive finding. When its time is up, it is cancelled.
"""

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import ClassVar

from echo.probe.budget import Budget
from echo.probe.finding import Finding
from echo.probe.path import Path


class Kind(StrEnum):
    """The protocol that a check speaks. All but `GRPC` need the gateway's URL."""

    GRPC = "grpc"
    WS = "ws"
    HTTP = "http"


class Scheduling(StrEnum):
    """What else may run while a check does."""

    BESIDE = "beside"  # Other checks.
    WAITING = "waiting"  # Anything, since this one mostly waits; it begins first and may take as long as the idle time.
    ALONE = "alone"  # Only those that wait: it fills the connection, or others would disturb it.
    LAST = "last"  # The same, after all others: what it does may make a hop consider the server unhealthy.


class Check(ABC):
    """One question. Subclasses are listed in `echo.probe.table`; each has a module of its own.

    Attributes:
        name: As on the command line and in the report.
        question: One readable sentence.
        kind: The protocol it speaks.
        scheduling: What else may run meanwhile.
        needs: The checks it depends on: it is skipped if one of them is broken.
        patience: Seconds it may take; for those that wait, in addition to the idle time.
        again_after_waiting: Whether to try it again, unless it survived, after the checks that wait: it measures what
            they use up.
        large: Whether it carries so much that it takes long over a long way.
        causes: What can be wrong; each has its advice in ``advice.toml``.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    kind: ClassVar[Kind] = Kind.GRPC
    scheduling: ClassVar[Scheduling] = Scheduling.BESIDE
    needs: ClassVar[tuple[str, ...]] = ("http2",)
    patience: ClassVar[float] = 10.0
    again_after_waiting: ClassVar[bool] = False
    large: ClassVar[bool] = False
    causes: ClassVar[tuple[str, ...]] = ()

    def seconds(self, budget: Budget) -> float:
        """How long it may take."""
        return self.patience + (budget.idle if self.scheduling is Scheduling.WAITING else 0.0)

    @abstractmethod
    async def run(self, path: Path) -> Finding:
        """Find the answer. Closes whatever it opens."""
