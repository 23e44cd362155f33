"""Plain text for people, 80 columns wide, in a pipe as on a terminal."""

import textwrap
from collections.abc import Iterator
from typing import Final

from echo.probe.finding import Outcome
from echo.probe.formats.summary import counts_in_words, ends, path_in_words
from echo.probe.report import Report, Result

WIDTH: Final = 80
_OUTCOME, _NAME = 14, 20  # Columns: the longest word of each kind, and two blanks.
_INDENT: Final = " " * (_OUTCOME + _NAME)


def as_text(report: Report) -> str:
    """The report; ends with a newline."""
    return "\n".join(
        [*_head(report), "", *(line for result in report.results for line in _lines(result)), *_foot(report)]
    )


def _head(report: Report) -> Iterator[str]:
    yield from textwrap.wrap(f"What happens on the way to {ends(report)}", WIDTH, break_on_hyphens=False)
    words = path_in_words(report)
    if words:
        yield from textwrap.wrap(words, WIDTH, break_on_hyphens=False)


def _lines(result: Result) -> Iterator[str]:
    finding = result.finding
    outcome = finding.outcome.value.upper() if finding.outcome is Outcome.BROKEN else finding.outcome.value
    first = f"{outcome:<{_OUTCOME}}{result.name:<{_NAME}}"
    yield from textwrap.wrap(
        finding.sentence, WIDTH, initial_indent=first, subsequent_indent=_INDENT, break_on_hyphens=False
    )
    for line in result.advice:
        # Further left if it must be, as nobody finds a setting by half of its name.
        indent = _INDENT[: max(0, WIDTH - len("- ") - max(map(len, line.split())))]
        yield from textwrap.wrap(
            line, WIDTH, initial_indent=f"{indent}- ", subsequent_indent=f"{indent}  ", break_on_hyphens=False
        )


def _foot(report: Report) -> Iterator[str]:
    yield ""
    yield f"{counts_in_words(report)}; {report.seconds:.1f} s"
    yield ""
