"""JUnit's XML, for the test reports of CI systems: each check a test case.

Broken and limited are failures, inconclusive is an error (the check could not find out), skipped is skipped. CI systems
judge by this file, not by the exit status. So what is accepted, because an earlier report has it too, counts as passed.
"""

import re
from collections import Counter
from collections.abc import Collection
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from echo.probe.finding import Outcome
from echo.probe.report import Report

_TAGS: Final = {
    Outcome.BROKEN: "failure",
    Outcome.LIMITED: "failure",
    Outcome.INCONCLUSIVE: "error",
    Outcome.SKIPPED: "skipped",
}
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 §2.2


def as_junit(report: Report, accepted: Collection[str] = ()) -> str:
    """The report; ends with a newline. Checks that are ``accepted`` pass, whatever their outcome."""
    counts = Counter(result.finding.outcome for result in report.results if result.name not in accepted)
    totals = {
        "tests": str(len(report.results)),
        "failures": str(counts[Outcome.BROKEN] + counts[Outcome.LIMITED]),
        "errors": str(counts[Outcome.INCONCLUSIVE]),
        "skipped": str(counts[Outcome.SKIPPED]),
        "time": f"{report.seconds:.3f}",
    }
    root = Element("testsuites", {"name": "echo-grpc probe", **{k: v for k, v in totals.items() if k != "skipped"}})
    started = report.started.replace(tzinfo=None).isoformat(timespec="seconds")
    suite = SubElement(root, "testsuite", {"name": _clean(report.target), "timestamp": started, **totals})
    for result in report.results:
        finding = result.finding
        attributes = {"classname": "echo-grpc.probe", "name": result.name, "time": f"{result.seconds:.3f}"}
        case = SubElement(suite, "testcase", attributes)
        sentence = _clean(finding.sentence)
        if finding.outcome is Outcome.SURVIVED:
            SubElement(case, "system-out").text = sentence
            continue
        if result.name in accepted:
            SubElement(case, "system-out").text = f"{finding.outcome}, as expected: {sentence}"
            continue
        mark = SubElement(case, _TAGS[finding.outcome], {"message": sentence})
        if finding.outcome is not Outcome.SKIPPED:
            mark.set("type", finding.outcome.value)
            mark.text = _clean("\n".join([finding.sentence, *result.advice]))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
