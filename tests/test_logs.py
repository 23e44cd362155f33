"""Logging: one stream and one format for all loggers."""

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from echo.logs import LogFormat, configure_logging, json_line, refuse
from tests.support.logging_state import logging_restored


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    with logging_restored():
        yield


def events(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_is_one_line_an_event_with_its_fields_level_logger_and_utc_time() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    structlog.get_logger("echo.test").info("listening", address="127.0.0.1:8081", tls=False)
    (event,) = events(stream)
    assert list(event)[:4] == ["timestamp", "level", "logger", "event"]
    time = str(event.pop("timestamp"))
    assert time.endswith("Z")
    assert "T" in time
    assert event == {
        "event": "listening",
        "address": "127.0.0.1:8081",
        "tls": False,
        "level": "info",
        "logger": "echo.test",
    }


@pytest.mark.parametrize("name", ["hypercorn.error", "quart.app", "some.library"])
def test_loggers_of_the_standard_library_come_out_in_the_same_form(name: str) -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    logging.getLogger(name).warning("took %d s", 3, extra={"not": "shown"})
    (event,) = events(stream)
    assert (event["event"], event["level"], event["logger"]) == ("took 3 s", "warning", name)
    assert "timestamp" in event


@pytest.mark.parametrize("speaker", ["structlog", "logging"])
def test_an_exception_is_a_field_within_the_line(speaker: str) -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    try:
        raise LookupError("first line\nsecond line")
    except LookupError:
        if speaker == "structlog":
            structlog.get_logger("echo.test").exception("handler failed", method="/a/B")
        else:
            logging.getLogger("echo.test").exception("handler failed")
    (event,) = events(stream)
    assert event["event"] == "handler failed"
    assert event["level"] == "error"
    assert "LookupError: first line\nsecond line" in str(event["exception"])
    assert "Traceback" in str(event["exception"])


def test_a_newline_in_an_event_cannot_forge_a_second_line() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    structlog.get_logger().info('a\n{"event": "forged"}', peer=b"\xff\n", path="/\u2028\ud800")
    assert len(events(stream)) == 1


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("error", ["error", "critical"]),
        ("critical", ["critical"]),
    ],
)
def test_events_below_the_level_are_left_out_whoever_speaks(level: str, written: list[str]) -> None:
    stream = io.StringIO()
    configure_logging(level, "json", stream)
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(structlog.get_logger("echo.test"), name)(name)
        getattr(logging.getLogger("hypercorn.error"), name)(name)
    assert [event["event"] for event in events(stream)] == [name for name in written for _ in range(2)]


def test_debugging_does_not_bring_in_every_header_of_every_frame() -> None:
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    logging.getLogger("hpack.hpack").debug("Decoded 61, consumed 1 bytes")
    logging.getLogger("trio").debug("kept")
    assert [event["event"] for event in events(stream)] == ["kept"]


def test_auto_is_json_for_a_pipe_and_text_with_colours_for_a_terminal() -> None:
    pipe, terminal = io.StringIO(), Terminal()
    configure_logging("info", "auto", pipe)
    structlog.get_logger().info("hello", port=1)
    configure_logging("info", "auto", terminal)
    structlog.get_logger().info("hello", port=1)
    assert events(pipe)[0]["event"] == "hello"
    assert "hello" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()


@pytest.mark.parametrize(
    ("variable", "value", "coloured"),
    [("NO_COLOR", "1", False), ("NO_COLOR", "", True), ("TERM", "dumb", False), ("TERM", "xterm", True)],
)
def test_a_terminal_whose_user_wants_no_colours_gets_none(
    variable: str, value: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    terminal = Terminal()
    configure_logging("info", "auto", terminal)
    structlog.get_logger("tests").info("hello")
    assert "hello" in terminal.getvalue()
    assert ("\x1b[" in terminal.getvalue()) is coloured


def test_console_into_a_pipe_has_no_colours_and_a_plain_traceback() -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    try:
        raise LookupError("gone")
    except LookupError:
        logging.getLogger("echo.test").exception("failed")
    assert "\x1b[" not in stream.getvalue()
    assert "[error" in stream.getvalue()
    assert stream.getvalue().endswith("LookupError: gone\n")


def test_json_can_be_had_on_a_terminal() -> None:
    terminal = Terminal()
    configure_logging("info", "json", terminal)
    structlog.get_logger().info("hello")
    assert events(terminal)[0]["event"] == "hello"


def test_configuring_again_replaces_the_first_and_doubles_nothing() -> None:
    first, second = io.StringIO(), io.StringIO()
    log = structlog.get_logger("echo.test")
    configure_logging("info", "json", first)
    log.info("one")
    configure_logging("info", "json", second)
    log.info("two")
    logging.getLogger("library").warning("three")
    assert [event["event"] for event in events(first)] == ["one"]
    assert [event["event"] for event in events(second)] == ["two", "three"]


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    structlog.get_logger().info("hello")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "hello"


def test_warnings_of_python_are_logged_too() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    (event,) = events(stream)
    assert "DeprecationWarning: old way" in str(event["event"])
    assert event["level"] == "warning"


HOSTILE = "a\nforged \x1b[2J\u202e"


@pytest.mark.parametrize("speaker", ["structlog", "logging"])
def test_nothing_in_an_event_acts_on_the_console(speaker: str) -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    if speaker == "structlog":
        structlog.get_logger("echo.test").info("from a peer", path=HOSTILE)
    else:
        logging.getLogger("echo.test").warning("from a peer: %s", HOSTILE)
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert "\\x1b[2J" in line
    assert "\\u202e" in line


def test_a_traceback_on_the_console_keeps_its_lines_and_nothing_else() -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    try:
        raise LookupError(HOSTILE)
    except LookupError:
        structlog.get_logger("echo.test").exception("failed")
    assert all(line.isprintable() for line in stream.getvalue().split("\n"))
    assert stream.getvalue().endswith("LookupError: a\nforged \\x1b[2J\\u202e\n")


@pytest.mark.parametrize("log_format", ["auto", "json", "console"])
def test_a_closed_standard_error_loses_the_log_and_nothing_else(
    log_format: LogFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    configure_logging("info", log_format)
    structlog.get_logger().info("hello")
    logging.getLogger("library").warning("hello")
    refuse("nobody hears it", as_json=False)


def test_a_line_beside_the_log_has_its_form() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    structlog.get_logger("a").info("b", c=1)
    written, made = events(stream)[0], json.loads(json_line("info", "a", "b", c=1))
    assert list(written) == list(made)
    assert {**written, "timestamp": ""} == {**made, "timestamp": ""}
    assert len(str(written["timestamp"])) == len(made["timestamp"])
