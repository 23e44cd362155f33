"""A plugin for pytest: random tests made the same each time and, where asked, which test runs which lines of echo.

It is traced by hand, as what is wanted is little: lines of some files, for each test. Lines run by threads count for
the test that runs at the time, as threads outlive the tests that start them.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from _typeshed import TraceFunction

WANTED: Final = "ECHO_MUTATION_LINES"
"""Environment variable: the file to write to, ``Lines`` as JSON."""

ROOT: Final = Path(__file__).resolve().parents[2]
_WATCHED: Final = str(ROOT / "echo") + os.sep

_lines: Final[dict[str, dict[str, list[int]]]] = {}
_seconds: Final[dict[str, float]] = {}
_seen: Final[set[tuple[str, int]]] = set()


def pytest_configure() -> None:
    settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
    settings.load_profile("mutation")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    if WANTED not in os.environ:
        return (yield)
    _seen.clear()
    threading.settrace(_call)
    sys.settrace(_call)
    try:
        return (yield)
    finally:
        sys.settrace(None)
        files: dict[str, list[int]] = {}
        for name, number in sorted(_seen.copy()):
            files.setdefault(Path(name).relative_to(ROOT).as_posix(), []).append(number)
        _lines[item.nodeid] = files


def _call(frame: FrameType, event: str, argument: object) -> "TraceFunction | None":
    return _line(frame, event, argument) if frame.f_code.co_filename.startswith(_WATCHED) else None


def _line(frame: FrameType, _event: str, _argument: object) -> "TraceFunction":
    if frame.f_lineno is not None:  # As it may be of what the compiler adds to a block.
        _seen.add((frame.f_code.co_filename, frame.f_lineno))
    return _line


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def pytest_sessionfinish() -> None:
    if WANTED in os.environ:
        Path(os.environ[WANTED]).write_text(json.dumps({"lines": _lines, "seconds": _seconds}))
