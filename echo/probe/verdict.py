"""The exit status of a report, by itself or compared with an earlier report.

What the earlier report does not know counts as survived there: a check that it lacks, skipped, or could not decide. So
a report to compare with should be conclusive, and a check that is new in this version of echo fails at first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from echo.printable import printable
from echo.probe.bisect import size_in_words
from echo.probe.finding import Finding, Outcome
from echo.probe.report import VERSION, Report, Result

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
    limit: float | None = None
    unit: str | None = None


_UNKNOWN: Final = Expected(Outcome.SURVIVED)

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
        return {check["name"]: _expected(check) for check in checks}
    except ExpectationError:
        raise
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
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
    return Verdict.INCONCLUSIVE if _newly_unclear(report, expected) else Verdict.SOUND


def worse(report: Report, expected: Expectation) -> list[str]:
    """The checks that came out worse than expected. A check that the earlier report lacks counts as survived there."""
    return [result.name for result in report.results if _is_worse(result.finding, expected.get(result.name, _UNKNOWN))]


def accepted(report: Report, expected: Expectation) -> list[str]:
    """The checks that are broken, limited or inconclusive, but no worse than expected."""
    refused = {*worse(report, expected), *_newly_unclear(report, expected)}
    sound = (Outcome.SURVIVED, Outcome.SKIPPED)
    return [each.name for each in report.results if each.finding.outcome not in sound and each.name not in refused]


def differences(report: Report, expected: Expectation) -> list[str]:
    """What came out other than expected, for people: a line for each kind of difference, and none without any."""
    kinds = {
        "worse than expected": worse(report, expected),
        "inconclusive, unlike before": _newly_unclear(report, expected),
        "better than expected": _better(report, expected),
    }
    findings = {result.name: result.finding for result in report.results}
    return [
        f"{kind}: {', '.join(_change(name, findings[name], expected.get(name)) for name in names)}"
        for kind, names in kinds.items()
        if names
    ]


def _newly_unclear(report: Report, expected: Expectation) -> list[str]:
    return [
        result.name
        for result in report.results
        if result.finding.outcome is Outcome.INCONCLUSIVE
        and expected.get(result.name, _UNKNOWN).outcome is not Outcome.INCONCLUSIVE
    ]


def _better(report: Report, expected: Expectation) -> list[str]:
    return [each.name for each in report.results if each.name in expected and _is_better(each, expected[each.name])]


def _is_worse(finding: Finding, before: Expected) -> bool:
    now, limit = finding.outcome, finding.limit
    if now is Outcome.LIMITED and limit is not None and before.limit is not None:
        if before.outcome is Outcome.LIMITED:
            return limit < before.limit * TOLERANCE
        if before.outcome is Outcome.SURVIVED:  # The limit is what was tried then, which may be less than now.
            return limit < before.limit
    return _RANK[now] > _RANK[before.outcome]


def _is_better(result: Result, before: Expected) -> bool:
    now, limit = result.finding.outcome, result.finding.limit
    if now not in (Outcome.SURVIVED, Outcome.LIMITED):
        return False
    if before.outcome is Outcome.LIMITED and limit is not None and before.limit is not None:
        return limit * TOLERANCE > before.limit
    return _RANK[now] < _RANK[before.outcome]


def _change(name: str, now: Finding, before: Expected | None) -> str:
    was = "not in the earlier report" if before is None else f"was {_in_words(before)}"
    return f"{name} ({_in_words(now)}, {was})"


def _in_words(found: Finding | Expected) -> str:
    if found.outcome is not Outcome.LIMITED or found.limit is None:
        return found.outcome.value
    bytes_ = found.unit == "bytes"
    return f"limited to {size_in_words(found.limit) if bytes_ else f'{found.limit:g} {found.unit}'}"


def _expected(check: Mapping[str, object]) -> Expected:
    unit, outcome = check.get("unit"), Outcome(str(check["outcome"]))
    return Expected(outcome, _number(check["limit"]), None if unit is None else printable(str(unit)))


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise TypeError
