"""A report as JSON, text, Markdown and JUnit's XML."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from echo.advice import read_advice
from echo.probe.finding import broken
from echo.probe.formats import FORMATS, as_json, as_junit, as_markdown, as_text
from echo.probe.report import Facts
from tests.probe.reports import report_of

# Terminal escapes in 7 and 8 bits, a bell, line breaks of three kinds, a change of direction, half a character.
HOSTILE = "\x1b[31m\x9b31m\x07\r\n\u2028\x85\x7f\u202e\ud800"


def test_json_is_the_document_of_version_1() -> None:
    document = json.loads(as_json(report_of()))
    assert list(document) == [
        *("version", "target", "gateway", "direct", "started", "seconds", "path", "checks", "counts"),
    ]
    assert (document["version"], document["started"], document["gateway"]) == (1, "2030-01-02T03:04:05Z", None)
    assert list(document["path"]) == ["protocol", "tls", "settings", "instances", "added_headers", "hops_guess"]
    idle = document["checks"][2]
    assert list(idle) == ["name", "outcome", "finding", "limit", "unit", "details", "advice", "seconds"]
    assert (idle["outcome"], idle["limit"], idle["unit"]) == ("limited", 60.0, "s")
    assert document["counts"] == {"survived": 1, "limited": 1, "broken": 1, "inconclusive": 1, "skipped": 1}


def test_text_fits_into_80_columns_and_says_everything() -> None:
    text = as_text(report_of())
    assert max(map(len, text.splitlines())) <= 80
    joined = " ".join(text.split())
    assert "BROKEN trailers The reply came, but its end did not: it was cut off before the status." in joined
    assert "- nginx: grpc_read_timeout (default 60s)" in joined
    assert "1 survived, 1 limited, 1 broken, 1 inconclusive, 1 skipped; 12.5 s" in joined


def test_text_breaks_no_setting_s_name() -> None:
    advice = [line for causes in read_advice().values() for lines in causes.values() for line in lines]
    report = report_of()
    lines = as_text(replace(report, results=[replace(report.results[1], advice=advice)])).splitlines()
    assert max(map(len, lines)) <= 80
    words = {word for line in lines for word in line.split()}
    assert [line for line in advice if not words.issuperset(line.split())] == []


def test_text_does_nothing_to_a_terminal() -> None:
    assert "\x1b" not in as_text(report_of())


@pytest.mark.parametrize("form", FORMATS)
def test_text_of_a_hop_does_nothing_to_whoever_reads_the_report(form: str) -> None:
    finding = broken("lost", f"It said {HOSTILE}.", details={"came": HOSTILE, HOSTILE: [HOSTILE]})
    facts = Facts("HTTP/1.1", None, {}, [HOSTILE], [f"x-{HOSTILE}"], [f"via {HOSTILE}"])
    text = FORMATS[form](report_of({"status": finding}, facts))
    assert "It said" in text
    assert all(character.isprintable() or character == "\n" for character in text)


def test_json_keeps_what_it_escapes() -> None:
    finding = broken("lost", "No.", details={"came": HOSTILE + "\U000e0001 é 漢 “”"})
    text = as_json(report_of({"status": finding}))
    assert json.loads(text)["checks"][0]["details"] == finding.details
    assert "é 漢 “”" in text


def test_markdown_has_a_row_for_each_check_whatever_its_finding_holds() -> None:
    rows = [line for line in as_markdown(report_of()).splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == ["http2", "trailers", "stream-idle", "cancel", "ws-idle"]
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)
    assert "\\<b\\>" in rows[3]


def test_junit_is_what_its_schema_asks_for() -> None:
    """By the rules of the XSD that Jenkins publishes: order of elements, required attributes, sums that are right."""
    root = ET.fromstring(as_junit(report_of()))  # Raises for what is no XML.
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    assert suite.attrib.keys() == {"name", "timestamp", "tests", "failures", "errors", "skipped", "time"}
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    cases = suite.findall("testcase")
    assert (
        counts
        == {
            "tests": len(cases),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        == {"tests": 5, "failures": 2, "errors": 1, "skipped": 1}
    )
    for case in cases:
        assert {"classname", "name", "time"} == case.attrib.keys()
        assert len(case) == 1
        if case[0].tag in ("failure", "error"):
            assert {"message", "type"} == case[0].attrib.keys()
            assert case[0].text


def test_junit_passes_what_is_accepted() -> None:
    suite = ET.fromstring(as_junit(report_of(), ["stream-idle", "cancel"]))[0]
    assert [suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")] == ["5", "1", "0", "1"]
    outcomes = {case.attrib["name"]: case[0].tag for case in suite}
    assert outcomes["trailers"] == "failure"
    assert outcomes["stream-idle"] == outcomes["cancel"] == "system-out"
    said = suite.findtext("testcase[@name='stream-idle']/system-out") or ""
    assert said.startswith("limited, as expected: The path cuts idle streams")
