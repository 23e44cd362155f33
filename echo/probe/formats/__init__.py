"""A report in each output format."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from echo.probe.formats.junit import as_junit
from echo.probe.formats.markdown import as_markdown
from echo.probe.formats.text import as_text
from echo.probe.report import Report

__all__ = ["FORMATS", "as_json", "as_junit", "as_markdown", "as_text"]


def as_json(report: Report) -> str:
    """The JSON document, version 1."""
    return json.dumps(report.document(), indent=2, ensure_ascii=False) + "\n"


FORMATS: Final[Mapping[str, Callable[[Report], str]]] = {
    "text": as_text,
    "json": as_json,
    "markdown": as_markdown,
    "junit": as_junit,
}
