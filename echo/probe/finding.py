"""What a check finds out: an outcome, one readable sentence, and a limit if there is one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias, Union

from echo.printable import printable

MAX_SENTENCE: Final = 500  # Characters; none of ours comes near.

JsonValue: TypeAlias = Union[bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]", None]


class Outcome(StrEnum):
    """How a check came out; part of the report's contract."""

    SURVIVED = "survived"
    LIMITED = "limited"  # Works, but only up to a number, below what was asked for.
    BROKEN = "broken"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What a check found out; created by the functions below.

    Attributes:
        outcome: How it came out.
        sentence: One sentence that a reader understands without knowing gRPC's internals.
        cause: Which of the check's causes it is; the key to the advice. Empty if there is nothing to advise.
        limit: Up to what number it works, if there is a limit.
        unit: What the limit counts: ``s``, ``bytes``, ``calls``.
        details: What was measured, for the JSON report.
        silent: Whether it rests on something that did not come in time, as may happen on a network that is merely slow.
    """

    outcome: Outcome
    sentence: str
    cause: str = ""
    limit: float | None = None
    unit: str | None = None
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    silent: bool = False

    def __post_init__(self) -> None:
        # It may contain text from a hop.
        object.__setattr__(self, "sentence", printable(self.sentence, MAX_SENTENCE))


def survived(
    sentence: str,
    *,
    limit: float | None = None,
    unit: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> Finding:
    """It works; ``limit`` is the largest that was tried, and it got through."""
    return Finding(Outcome.SURVIVED, sentence, "", limit, unit, details or {})


def broken(
    cause: str,
    sentence: str,
    *,
    limit: float | None = None,
    unit: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
    silent: bool = False,
) -> Finding:
    """It does not work, for one of the check's causes."""
    return Finding(Outcome.BROKEN, sentence, cause, limit, unit, details or {}, silent)


def limited(
    cause: str,
    sentence: str,
    *,
    limit: float | None = None,
    unit: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
    silent: bool = False,
) -> Finding:
    """It works up to ``limit``, which is below what was asked for."""
    return Finding(Outcome.LIMITED, sentence, cause, limit, unit, details or {}, silent)


def inconclusive(sentence: str, *, cause: str = "", details: Mapping[str, JsonValue] | None = None) -> Finding:
    """It could not be determined; the sentence says why, and what would help. Few have a cause."""
    return Finding(Outcome.INCONCLUSIVE, sentence, cause, details=details or {})


def skipped(sentence: str) -> Finding:
    """It was not run; the sentence says why."""
    return Finding(Outcome.SKIPPED, sentence)
