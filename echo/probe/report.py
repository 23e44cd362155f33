"""The report of a survey: the findings of its checks, and the JSON document (version 1)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from echo.printable import printable
from echo.probe.finding import Finding, JsonValue, Outcome

VERSION: Final = 1


@dataclass(frozen=True)
class Result:
    """What a check found out.

    Attributes:
        name: The check's name.
        question: The check's question.
        finding: The finding.
        advice: Settings to look at, one line for each product.
        seconds: How long it took.
    """

    name: str
    question: str
    finding: Finding
    advice: Sequence[str] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Facts:
    """What the path is made of, as far as can be seen; everything may be unknown."""

    protocol: str | None = None
    tls: str | None = None
    settings: Mapping[str, int] = field(default_factory=dict)
    instances: Sequence[str] = ()
    added_headers: Sequence[str] = ()
    hops_guess: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("instances", "added_headers", "hops_guess"):  # They may contain text from a hop.
            object.__setattr__(self, name, [printable(text) for text in getattr(self, name)])


@dataclass(frozen=True)
class Report:
    """The report. Its results are in the order of the table of checks."""

    target: str
    gateway: str | None
    direct: Sequence[str]
    started: datetime
    seconds: float
    path: Facts
    results: Sequence[Result]

    def counts(self) -> dict[str, int]:
        """The number of checks by outcome; every outcome is listed."""
        found = Counter(result.finding.outcome for result in self.results)
        return {outcome.value: found[outcome] for outcome in Outcome}

    def document(self) -> dict[str, JsonValue]:
        """The report as a JSON document."""
        return {
            "version": VERSION,
            "target": self.target,
            "gateway": self.gateway,
            "direct": list(self.direct),
            "started": self.started.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "seconds": round(self.seconds, 3),
            "path": {
                "protocol": self.path.protocol,
                "tls": self.path.tls,
                "settings": dict(self.path.settings),
                "instances": list(self.path.instances),
                "added_headers": list(self.path.added_headers),
                "hops_guess": list(self.path.hops_guess),
            },
            "checks": [_document(result) for result in self.results],
            "counts": dict(self.counts()),
        }


def _document(result: Result) -> dict[str, JsonValue]:
    finding = result.finding
    return {
        "name": result.name,
        "outcome": finding.outcome.value,
        "finding": finding.sentence,
        "limit": finding.limit,
        "unit": finding.unit,
        "details": dict(finding.details),
        "advice": list(result.advice),
        "seconds": round(result.seconds, 3),
    }
