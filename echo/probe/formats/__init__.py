"""A report in each output format."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from echo.probe.formats.junit import as_junit
from echo.probe.formats.markdown import as_markdown
from echo.probe.formats.text import as_text
from echo.probe.report import Report

__all__ = ["FORMATS", "as_json", "as_junit", "as_markdown", "as_text"]


_BEYOND_ASCII: Final = re.compile("[\x7f-\U0010ffff]")


def as_json(report: Report) -> str:
    """The JSON document, version 1. Characters that are not printable are escaped: details may have some from a hop."""
    text = json.dumps(report.document(), indent=2, ensure_ascii=False)
    return _BEYOND_ASCII.sub(lambda found: found[0] if found[0].isprintable() else _escaped(found[0]), text) + "\n"


def _escaped(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


FORMATS: Final[Mapping[str, Callable[[Report], str]]] = {
    "text": as_text,
    "json": as_json,
    "markdown": as_markdown,
    "junit": as_junit,
}
