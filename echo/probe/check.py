"""What a check is: one question, and a way to find the answer.

A check never trusts one observation: it compares what we saw with what the server saw (`Path.evidence`), or the path
with the way around it (`Path.direct`). Where that is missing it is `inconclusive`. It may raise whatever it likes: the
runner makes an inconclusive finding of it. When it is out of time it is cancelled.
"""

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import ClassVar

from echo.probe.budget import Budget
from echo.probe.finding import Finding
from echo.probe.path import Path


class Kind(StrEnum):
    """What a check speaks. All but `GRPC` need the gateway's URL."""

    GRPC = "grpc"
    WS = "ws"
    HTTP = "http"


class Company(StrEnum):
    """What else may run while a check does."""

    BESIDE = "beside"  # Other checks.
    WAITING = "waiting"  # Anything, as this one mostly waits; it begins first and may take as long as the idle time.
    ALONE = "alone"  # Those that wait, and no other: it fills the line, or would be disturbed.
    LAST = "last"  # Likewise, after all others: hops may think the server ill after what is asked of it here.


class Check(ABC):
    """One question. Subclasses are listed in `echo.probe.table`; each has a module of its own.

    Attributes:
        name: As on the command line and in the report.
        question: One sentence, for a person.
        kind: What it speaks.
        company: What else may run meanwhile.
        needs: The checks without which there is no point in asking: it is skipped where one of them is broken.
        patience: Seconds it may take; for those that wait, beyond the idle time.
        causes: What can be the matter; each has its advice in ``advice.toml``.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    kind: ClassVar[Kind] = Kind.GRPC
    company: ClassVar[Company] = Company.BESIDE
    needs: ClassVar[tuple[str, ...]] = ("http2",)
    patience: ClassVar[float] = 10.0
    causes: ClassVar[tuple[str, ...]] = ()

    def seconds(self, budget: Budget) -> float:
        """How long it may take."""
        return self.patience + (budget.idle if self.company is Company.WAITING else 0.0)

    @abstractmethod
    async def run(self, path: Path) -> Finding:
        """Find the answer. Closes whatever it opens."""
