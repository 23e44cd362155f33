"""The names, questions and sentences of the page's checks are those of the command line's checks, word for word."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from echo.probe.table import CHECKS
from tests.support.process import ROOT

CHECK = Path(str(files("echo.gateway"))) / "console_page" / "check"
ONLY_HERE = CHECK / "only_here.js"
SAYING = [
    *(CHECK / f"{name}.js" for name in ("survey", "path", "sizes", "ladder", "talk", "socket", "grpc_web")),
    *sorted((CHECK / "checks").iterdir()),
]
HOLE = "\0"  # Where something is filled in.

_TOKEN = re.compile(r"//[^\n]*|/\*.*?\*/|(?P<quote>[\"'`])", re.DOTALL)
# For readers of the code, or for machines.
_OTHERS = {"a WebSocket did not open", "from server:"}


def literals(script: str) -> Iterator[str]:
    """The texts in a script; concatenated ones are one, and what is filled in is a hole, whose own texts come, too."""
    at, last, end = 0, "", 0
    while (token := _TOKEN.search(script, at)) is not None:
        at = token.end()
        if token["quote"] is None:
            continue
        start, text = token.start(), ""
        while script[at] != token["quote"]:
            if script[at] == "\\":
                text, at = text + {"n": "\n"}.get(script[at + 1], script[at + 1]), at + 2
            elif token["quote"] == "`" and script.startswith("${", at):
                closing = _closing(script, at + 2)
                yield from literals(script[at + 2 : closing])
                text, at = text + HOLE, closing + 1
            else:
                text, at = text + script[at], at + 1
        at += 1
        if end and re.fullmatch(r"\s*\+\s*", script[end:start]):
            last += text
        else:
            yield last
            last = text
        end = at
    yield last


def _closing(script: str, at: int) -> int:
    """Where the brace ends that has been opened."""
    depth, inner = 1, ""
    while True:
        one = script[at]
        if inner:
            inner = "" if one == inner else inner
        elif one in "\"'`":
            inner = one
        else:
            depth += (one == "{") - (one == "}")
            if not depth:
                return at
        at += 1


@cache
def said_by_the_command_line() -> set[str]:
    found = set()
    for file in (ROOT / "echo" / "probe").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_the_table_has_the_command_line_s_checks_in_its_order_with_its_questions() -> None:
    table = (CHECK / "table.js").read_text()
    assert re.findall(r'^  can(?:not)?\("([\w-]+)", "([^"]+)"', table, re.MULTILINE) == [
        (check.name, check.question) for check in CHECKS
    ]


@pytest.mark.parametrize("file", SAYING, ids=lambda file: file.name)
def test_each_sentence_is_one_of_the_command_line(file: Path) -> None:
    said = {text for text in literals(file.read_text()) if re.search(r"[a-z,;:] |^; ", text)} - _OTHERS
    assert said - said_by_the_command_line() == set()


def test_each_cause_is_one_of_the_command_line_s_check() -> None:
    causes = {check.name: set(check.causes) for check in CHECKS}
    for file in (CHECK / "checks").iterdir():
        found = set(re.findall(r'\b(?:broken|limited)\(\s*"([\w-]+)"', file.read_text()))
        assert found <= causes[file.stem], file.name


def test_what_cannot_be_done_here_names_what_can() -> None:
    names = re.findall(r"export const (NO_\w+|CLEARTEXT|UNKNOWN_HTTP2) = `(.+)`;", ONLY_HERE.read_text())
    assert len(names) == 8
    assert all(sentence.endswith("; ${PROBE}") for _, sentence in names)
    assert "`echo-grpc probe` can." in ONLY_HERE.read_text()


def test_texts_are_found_in_scripts() -> None:
    script = """const a = "one" + 'two'; // "no"
    /* "neither" */ f(`three ${b ? `four ${c} five` : "six"} seven`, "eight \\"nine\\"");"""
    found = {"onetwo", f"four {HOLE} five", "six", f"three {HOLE} seven", 'eight "nine"'}
    assert set(filter(None, literals(script))) == found
