"""What a check finds out: an outcome, one sentence for a person, and a number where there is one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias, Union

from echo.printable import printable

MAX_SENTENCE: Final = 500  # Characters; none of ours comes near.

JsonValue: TypeAlias = Union[bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]", None]


class Outcome(StrEnum):
    """How a check came out; a contract with whoever reads a report."""

    SURVIVED = "survived"
    LIMITED = "limited"  # Works, but only up to a number, below what was asked for.
    BROKEN = "broken"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What a check found out; made by the functions below.

    Attributes:
        outcome: How it came out.
        sentence: One sentence that a person understands without knowing gRPC's internals.
        cause: Which of the check's causes it is; the key to the advice. Empty where there is nothing to advise.
        limit: Up to where it works, where there is such a number,
        unit: and what it counts: ``s``, ``bytes``, ``calls``.
        details: What was seen, for the JSON report.
    """

    outcome: Outcome
    sentence: str
    cause: str = ""
    limit: float | None = None
    unit: str | None = None
    details: Mapping[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What a hop has said may stand in it.
        object.__setattr__(self, "sentence", printable(self.sentence, MAX_SENTENCE))


def survived(
    sentence: str,
    *,
    limit: float | None = None,
    unit: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> Finding:
    """It works; ``limit`` is what was tried and got through."""
    return Finding(Outcome.SURVIVED, sentence, "", limit, unit, details or {})


def broken(
    cause: str,
    sentence: str,
    *,
    limit: float | None = None,
    unit: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> Finding:
    """It does not work, for one of the check's causes."""
    return Finding(Outcome.BROKEN, sentence, cause, limit, unit, details or {})


def limited(
    cause: str,
    sentence: str,
    *,
    limit: float | None = None,
    unit: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> Finding:
    """It works, up to ``limit``, which is below what was asked for."""
    return Finding(Outcome.LIMITED, sentence, cause, limit, unit, details or {})


def inconclusive(sentence: str, *, details: Mapping[str, JsonValue] | None = None) -> Finding:
    """It cannot be told; the sentence says why, and what would help."""
    return Finding(Outcome.INCONCLUSIVE, sentence, details=details or {})


def skipped(sentence: str) -> Finding:
    """It was not asked; the sentence says why."""
    return Finding(Outcome.SKIPPED, sentence)
