"""The exit status of a report, by itself and compared with an earlier one."""

import json

import pytest

from echo.probe.finding import Finding, broken, inconclusive, limited, skipped, survived
from echo.probe.formats import as_json
from echo.probe.verdict import ExpectationError, Verdict, accepted, differences, read_expectation, verdict, worse
from tests.probe.reports import report_of

GOOD, LOST, UNCLEAR, LEFT = survived("Yes."), broken("lost", "No."), inconclusive("Who knows."), skipped("Not asked.")


def at(limit: float) -> Finding:
    return limited("cut", f"Until {limit:g} s.", limit=limit, unit="s")


def tried(limit: float) -> Finding:
    return survived(f"For {limit:g} s.", limit=limit, unit="s")


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
        (at(60), UNCLEAR, Verdict.INCONCLUSIVE),
        (UNCLEAR, at(60), Verdict.BROKEN),
        # The earlier one waited for 10 s only, so it does not say that a minute was enough.
        (tried(10), at(60), Verdict.SOUND),
        (tried(125), at(120), Verdict.BROKEN),
        (at(60), tried(10), Verdict.SOUND),
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
    ("before", "now", "lines"),
    [
        (at(60), at(30), ["worse than expected: check (limited to 30 s, was limited to 60 s)"]),
        (GOOD, LOST, ["worse than expected: check (broken, was survived)"]),
        (UNCLEAR, at(60), ["worse than expected: check (limited to 60 s, was inconclusive)"]),
        (None, LOST, ["worse than expected: check (broken, not in the earlier report)"]),
        (at(60), UNCLEAR, ["inconclusive, unlike before: check (inconclusive, was limited to 60 s)"]),
        (LOST, at(1), ["better than expected: check (limited to 1 s, was broken)"]),
        (at(60), at(90), ["better than expected: check (limited to 90 s, was limited to 60 s)"]),
        (at(60), tried(125), ["better than expected: check (survived, was limited to 60 s)"]),
        (at(60), tried(10), []),
        (at(60), LEFT, []),
        (LOST, LOST, []),
        (UNCLEAR, GOOD, []),
        (None, GOOD, []),
    ],
)
def test_differences_are_told_with_what_was_before(before: Finding | None, now: Finding, lines: list[str]) -> None:
    expected = read_expectation(as_json(report_of({"other": GOOD} if before is None else {"check": before})))
    assert differences(report_of({"check": now}), expected) == lines


def test_a_difference_in_size_is_told_in_units_for_people() -> None:
    before, now = (limited("cut", "Cut.", limit=limit, unit="bytes") for limit in (4_194_304, 1_046_528))
    expected = read_expectation(as_json(report_of({"check": before})))
    line = "worse than expected: check (limited to 1022 KiB, was limited to 4 MiB)"
    assert differences(report_of({"check": now}), expected) == [line]


def test_what_is_no_worse_than_expected_is_accepted() -> None:
    expected = read_expectation(as_json(report_of({"a": LOST, "b": at(60), "c": UNCLEAR, "d": GOOD, "e": at(60)})))
    now = report_of({"a": LOST, "b": at(60), "c": UNCLEAR, "d": GOOD, "e": at(6), "f": LOST, "g": UNCLEAR, "h": LEFT})
    assert accepted(now, expected) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"version":1}', '{"version":1,"checks":[{"name":"a"}]}', '{"version":1,"checks":3}'),
        '{"version":1,"checks":[{"name":"a","outcome":"fine","limit":null}]}',
        '{"version":1,"checks":[{"name":"a","outcome":"broken","limit":"x"}]}',
        f'{{"version":1,"checks":[{{"name":"a","outcome":"limited","limit":{10**400}}}]}}',
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
