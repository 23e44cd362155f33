"""The exit status of a report, by itself and measured by an earlier one."""

import json

import pytest

from echo.probe.finding import Finding, broken, inconclusive, limited, skipped, survived
from echo.probe.formats import as_json
from echo.probe.verdict import ExpectationError, Verdict, read_expectation, verdict, worse
from tests.probe.reports import report_of

GOOD, LOST, UNCLEAR, LEFT = survived("Yes."), broken("lost", "No."), inconclusive("Who knows."), skipped("Not asked.")


def at(limit: float) -> Finding:
    return limited("cut", f"Until {limit:g} s.", limit=limit, unit="s")


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([GOOD, LEFT], Verdict.SOUND),
        ([GOOD, at(60)], Verdict.BROKEN),
        ([LOST, UNCLEAR], Verdict.BROKEN),
        ([GOOD, UNCLEAR], Verdict.INCONCLUSIVE),
    ],
)
def test_what_a_report_amounts_to(findings: list[Finding], status: Verdict) -> None:
    assert verdict(report_of({str(number): finding for number, finding in enumerate(findings)})) is status


@pytest.mark.parametrize(
    ("before", "now", "status"),
    [
        (LOST, LOST, Verdict.SOUND),
        (at(60), at(59.8), Verdict.SOUND),
        (at(60), at(30), Verdict.BROKEN),
        (at(60), LOST, Verdict.BROKEN),
        (LOST, at(1), Verdict.SOUND),
        (GOOD, at(60), Verdict.BROKEN),
        (LEFT, LOST, Verdict.BROKEN),
        (UNCLEAR, UNCLEAR, Verdict.SOUND),
        (GOOD, UNCLEAR, Verdict.INCONCLUSIVE),
    ],
)
def test_only_what_is_worse_than_expected_counts(before: Finding, now: Finding, status: Verdict) -> None:
    expected = read_expectation(as_json(report_of({"check": before})))
    report = report_of({"check": now})
    assert verdict(report, expected) is status
    assert worse(report, expected) == (["check"] if status is Verdict.BROKEN else [])


def test_a_check_that_was_not_there_before_is_expected_to_survive() -> None:
    expected = read_expectation(as_json(report_of({"other": GOOD})))
    assert verdict(report_of({"check": LOST}), expected) is Verdict.BROKEN


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"version":1}', '{"version":1,"checks":[{"name":"a"}]}', '{"version":1,"checks":3}'),
        '{"version":1,"checks":[{"name":"a","outcome":"fine","limit":null}]}',
        '{"version":1,"checks":[{"name":"a","outcome":"broken","limit":"x"}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(ExpectationError, match="is not a report in JSON"):
        read_expectation(text)


def test_a_report_of_another_version_is_refused_by_name() -> None:
    document = json.loads(as_json(report_of())) | {"version": 2}
    with pytest.raises(ExpectationError, match="version 2"):
        read_expectation(json.dumps(document))
