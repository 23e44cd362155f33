"""The README's table of real proxies: written from reports, and parsed again to compare it with the rows."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from echo.probe.finding import Outcome
from echo.probe.report import Report
from tests.probe.real.row import NO_SETTING, Row, told, unclear

README: Final = Path(__file__).parents[3] / "README.md"
BEGIN: Final = "<!-- real: what follows is written by `python -m tests.probe.real` -->"
END: Final = "<!-- /real -->"
HEAD: Final = "| proxy and setting | what the report says | and advises |\n|---|---|---|\n"
SENTENCE: Final = 100  # Characters of a finding, at about which it is cut.

_PLACE: Final = re.compile(rf"(?<=^{re.escape(BEGIN)}\n\n).*?(?=^{re.escape(END)}$)", re.MULTILINE | re.DOTALL)
_LINE: Final = re.compile(r"^\| (?P<title>[^|]*) \| (?P<says>[^|]*) \| (?P<advice>[^|]*) \|$", re.MULTILINE)
_SAYS: Final = re.compile(r"`([a-z0-9-]+)` (broken|limited): ")
_UNCLEAR: Final = re.compile(r"cannot tell: (.*)$")


def title(row: Row) -> str:
    """What the first cell says."""
    return f"{row.product}, {row.setting}"


def line(row: Row, report: Report, right: Row) -> str:
    """The line for a row and its report."""
    results = {result.name: result for result in report.results}
    notable = told(row, report, right)
    said = [f"`{one.check}` {one.outcome.value}: {shortened(results[one.check].finding.sentence)}" for one in notable]
    if names := unclear(report):
        said.append(f"cannot tell: {', '.join(f'`{name}`' for name in names)}")
    settings = dict.fromkeys(one.advice for one in notable)
    named = ", ".join(name if name == NO_SETTING else f"`{name}`" for name in settings)
    return f"| {title(row)} | {'<br>'.join(said) or 'nothing else'} | {named} |\n"


def shortened(sentence: str) -> str:
    """The beginning of a finding, fit for a table."""
    whole = sentence.removesuffix(".").replace("|", "\\|")
    for mark in ("; ", ": ", " ("):
        first = whole.partition(mark)[0]
        if len(whole) > SENTENCE and 40 <= len(first) <= SENTENCE:
            return first
    return whole if len(whole) <= SENTENCE else whole[:SENTENCE].rpartition(" ")[0] + " …"


def written(text: str, lines: Iterable[str]) -> str:
    """The README with these lines for its table.

    Raises:
        ValueError: It has not exactly one place for it.
    """
    if len(_PLACE.findall(text)) != 1:
        raise ValueError(f"the README needs one block from {BEGIN!r} to {END!r}")
    return _PLACE.sub(lambda _: f"{HEAD}{''.join(lines)}\n", text)


class Line(NamedTuple):
    """What a line of the table says.

    Attributes:
        says: Checks with their outcomes.
        advice: The settings advised.
        unclear: The checks that cannot tell.
    """

    says: Sequence[tuple[str, Outcome]]
    advice: Sequence[str]
    unclear: Sequence[str]


def read(text: str) -> dict[str, Line]:
    """The lines of the README's table, by title.

    Raises:
        ValueError: It has not exactly one.
    """
    (table,) = _PLACE.findall(text)
    found: dict[str, Line] = {}
    for match in _LINE.finditer(table.removeprefix(HEAD)):
        says = [(check, Outcome(outcome)) for check, outcome in _SAYS.findall(match["says"])]
        rest = _UNCLEAR.search(match["says"])
        names = re.findall(r"`([a-z0-9-]+)`", rest[1]) if rest else []
        advice = [name.strip("`") for name in match["advice"].split(", ") if name]
        found[match["title"]] = Line(says, advice, names)
    return found


def expected(row: Row) -> Line:
    """What a row's line has to say."""
    says = [(one.check, one.outcome) for one in row.says]
    return Line(says, list(dict.fromkeys(one.advice for one in row.says)), list(row.unclear))
