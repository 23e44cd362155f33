"""A row of the table of real proxies: a configuration, and what the report must say about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from echo.probe.finding import Outcome
from echo.probe.report import Report, Result

BROKEN, LIMITED = Outcome.BROKEN, Outcome.LIMITED
NOTABLE: Final = (BROKEN, LIMITED)
NO_SETTING: Final = "no setting"  # What the advice says where a product cannot be told to do otherwise.


@dataclass(frozen=True)
class Ports:
    """Where a proxy listens, and what it stands before: a gRPC server, and a gateway."""

    grpc: int
    web: int
    server: int
    gateway: int


Configure: TypeAlias = Callable[[Ports, Path], list[str]]
"""Writes the files for these ports into this folder; gives the command that runs the proxy."""


@dataclass(frozen=True)
class Says:
    """One thing that the report has to say.

    Attributes:
        check: Which check says it,
        outcome: and with which outcome.
        advice: The setting of the proxy's that is named first.
    """

    check: str
    outcome: Outcome
    advice: str


@dataclass(frozen=True)
class Row:
    """A configuration.

    Attributes:
        product: As the advice has it.
        setting: What differs from the right configuration, in Markdown; that one says what it is itself.
        configure: Writes the configuration.
        says: What the report says of it, besides what it says of the right configuration of the same product.
        unclear: The checks that cannot tell anything where this is wrong.
        right: It is the right configuration.
    """

    product: str
    setting: str
    configure: Configure
    says: Sequence[Says]
    unclear: Sequence[str] = ()
    right: bool = False

    @property
    def make(self) -> str:
        """The program."""
        return self.product.lower()


def advised(row: Row, result: Result) -> str:
    """The setting of the row's product that a result names first; empty if it names none."""
    lines = [line.removeprefix(f"{row.product}: ") for line in result.advice if line.startswith(f"{row.product}: ")]
    return lines[0].partition(" (default ")[0].partition(": ")[0] if lines else ""


def told(row: Row, report: Report, right: Row) -> list[Says]:
    """What a report says is broken or limited, but for what it says of the right configuration as well."""
    found = [
        Says(result.name, result.finding.outcome, advised(row, result))
        for result in report.results
        if result.finding.outcome in NOTABLE
    ]
    return [one for one in found if row.right or one not in right.says]


def unclear(report: Report) -> list[str]:
    """The checks that could not tell."""
    return [result.name for result in report.results if result.finding.outcome is Outcome.INCONCLUSIVE]
