"""Markdown, for an issue or a pull request."""

from echo.probe.finding import Outcome
from echo.probe.formats.summary import counts_in_words, ends, path_in_words
from echo.probe.report import Report

_BOLD = (Outcome.BROKEN, Outcome.LIMITED)


def as_markdown(report: Report) -> str:
    """The report as a table, with the advice below; ends with a newline."""
    words = path_in_words(report)
    lines = [
        f"# What happens on the way to {_escaped(ends(report))}",
        "",
        f"{counts_in_words(report)}; {report.seconds:.1f} s" + (f". {_escaped(words)}" if words else ""),
        "",
        "| check | outcome | finding |",
        "|---|---|---|",
    ]
    for result in report.results:
        outcome = result.finding.outcome
        word = f"**{outcome}**" if outcome in _BOLD else outcome
        lines.append(f"| `{result.name}` | {word} | {_escaped(result.finding.sentence)} |")
    for result in report.results:
        if result.advice:
            lines += ["", f"## `{result.name}`: settings to look at", ""]
            lines += [f"- {_escaped(line)}" for line in result.advice]
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    """Escape the text, so that nothing in it is markup or ends a cell."""
    for mark in "\\`*_|<>[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
