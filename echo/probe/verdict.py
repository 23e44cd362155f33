"""The exit status of a report, by itself or compared with an earlier report."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from echo.probe.finding import Finding, Outcome
from echo.probe.report import VERSION, Report

TOLERANCE: Final = (
    0.9  # A limit is worse if it is below this fraction of the earlier one: no two runs measure the same.
)
_RANK: Final = {Outcome.SURVIVED: 0, Outcome.SKIPPED: 0, Outcome.INCONCLUSIVE: 0, Outcome.LIMITED: 1, Outcome.BROKEN: 2}


class Verdict(IntEnum):
    """The exit statuses of a probe."""

    SOUND = 0
    BROKEN = 1  # Or limited; or worse than expected.
    USAGE = 2
    UNREACHABLE = 3
    INCONCLUSIVE = 4


class ExpectationError(ValueError):
    """The file is not an earlier report; the text continues a sentence that begins with its name."""


@dataclass(frozen=True)
class Expected:
    """What an earlier report says about a check."""

    outcome: Outcome
    limit: float | None


Expectation = Mapping[str, Expected]
"""By name of the check."""


def read_expectation(text: str) -> Expectation:
    """Read an earlier report in JSON.

    Raises:
        ExpectationError: It is not a report.
    """
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ExpectationError(f"is a report of version {document['version']!r}, not of version {VERSION}")
        checks = document["checks"]
        return {check["name"]: Expected(Outcome(check["outcome"]), _number(check["limit"])) for check in checks}
    except ExpectationError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ExpectationError("is not a report in JSON (as `--format json` writes it)") from None


def verdict(report: Report, expected: Expectation | None = None) -> Verdict:
    """The exit status. With an expectation, only checks that are worse than expected count."""
    findings = {result.name: result.finding for result in report.results}
    if expected is None:
        expected = {}
        bad = [name for name, finding in findings.items() if _RANK[finding.outcome]]
    else:
        bad = worse(report, expected)
    if bad:
        return Verdict.BROKEN
    unclear = (name for name, finding in findings.items() if finding.outcome is Outcome.INCONCLUSIVE)
    if any(name not in expected or expected[name].outcome is not Outcome.INCONCLUSIVE for name in unclear):
        return Verdict.INCONCLUSIVE
    return Verdict.SOUND


def worse(report: Report, expected: Expectation) -> list[str]:
    """The checks that came out worse than expected. A check that the earlier report lacks counts as survived there."""
    return [
        result.name
        for result in report.results
        if _is_worse(result.finding, expected.get(result.name, Expected(Outcome.SURVIVED, None)))
    ]


def _is_worse(finding: Finding, before: Expected) -> bool:
    rank = _RANK[finding.outcome]
    if rank != _RANK[before.outcome] or not rank:
        return rank > _RANK[before.outcome]
    if finding.limit is None or before.limit is None:
        return False
    return finding.limit < before.limit * TOLERANCE


def _number(value: object) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise TypeError
