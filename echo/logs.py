"""Logging: all parts of the process log to one stream in one format.

structlog and the standard library's loggers (those of Hypercorn, Quart, h2) share one handler, which writes a line of
JSON for each event, or coloured text on a terminal. Modules of echo use ``structlog.get_logger(__name__)`` and log
events with fields; only the command line calls `configure_logging`. Lines written outside the log, to standard output
or before logging is configured, get the same format from `writes_json` and `json_line`.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final, Literal, TextIO, get_args

import structlog

from echo.access_log import AccessLog
from echo.colours import takes_colours
from echo.configuration import BOTH, Group, Title, setting
from echo.configuration.values import SWITCH, one_of
from echo.outlet import Outlet
from echo.printable import printable

__all__ = [
    "LEVEL",
    "Logging",
    "asks_for_json",
    "configure_logging",
    "json_line",
    "open_access_log",
    "refuse",
    "show_trace_ids",
    "writes_json",
]

LogLevel = Literal["debug", "info", "warning", "error", "critical"]
LogFormat = Literal["auto", "console", "json"]

_LEVELS: Final[dict[str, LogLevel]] = {name: name for name in get_args(LogLevel)}
_FORMATS: Final[dict[str, LogFormat]] = {name: name for name in get_args(LogFormat)}

LEVEL: Final = one_of({**_LEVELS, "warn": "warning"}, f"is not a log level ({', '.join(_LEVELS)})")
_FORMAT: Final = one_of(_FORMATS, f"is not a log format ({', '.join(_FORMATS)})")


class Logging(Group):
    """What is logged, and how."""

    logging = Title("Logging")
    log_level = setting(_LEVELS["info"], LEVEL, BOTH, f"least severe events to log: {', '.join(_LEVELS)}")
    log_format = setting(
        _FORMATS["auto"],
        _FORMAT,
        BOTH,
        "console, json or auto; auto is console on a terminal, JSON lines elsewhere",
    )
    access_log = setting(True, SWITCH, BOTH, "log each call, request and WebSocket")


MAX_TEXT = 2_000  # Characters of an event or a value on the console.

# Loggers that at DEBUG write several lines for every frame, which helps nobody and slows everything down.
_CHATTY = ("hpack", "h2", "hypercorn.access")


def configure_logging(level: str = "info", log_format: LogFormat = "auto", stream: TextIO | None = None) -> None:
    """Send the events of structlog and of the standard library's loggers to one stream.

    Replaces every handler of the root logger, so only the owner of the process should call it. May be called again.

    Args:
        level: The lowest level written: debug, info, warning, error or critical.
        log_format: ``json`` writes one line per event, with an exception's traceback as a field; ``console`` writes
            readable text, in colour on a terminal unless ``NO_COLOR`` is set; ``auto`` is console on a terminal, else
            JSON. Times are UTC in ISO 8601.
        stream: The stream to write to, by default standard error; nothing is written if that is closed.
    """
    stream = sys.stderr if stream is None else stream
    colours = stream is not None and takes_colours(stream)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # So that loggers created before this call follow it, too.
    )
    renderer: list[structlog.typing.Processor]
    if writes_json(log_format, stream):
        renderer = [structlog.processors.format_exc_info, _main_fields_first, structlog.processors.JSONRenderer()]
    else:
        traceback = structlog.dev.plain_traceback
        renderer = [
            structlog.processors.format_exc_info,
            _escape_values,
            structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=traceback),
        ]
    handler = logging.NullHandler() if stream is None else logging.StreamHandler(Outlet(stream))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.INFO))
    logging.captureWarnings(capture=True)


TraceIds = Callable[[], tuple[str, str | None] | None]
"""The ids of the current trace, and of its span if that is recorded; None if there is no trace."""

_trace_ids: list[TraceIds] = []  # Mostly one.


@contextmanager
def show_trace_ids(ids: TraceIds) -> Iterator[None]:
    """Add trace and span ids to log lines while the block runs."""
    _trace_ids.append(ids)
    try:
        yield
    finally:
        _trace_ids.remove(ids)


def _with_trace(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the ids of the current trace and span."""
    found = _trace_ids[-1]() if _trace_ids else None
    if found is not None:
        event.setdefault("trace_id", found[0])
        if found[1] is not None:
            event.setdefault("span_id", found[1])
    return event


def _escape_values(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape characters that would affect a terminal or forge a line; an exception keeps its line breaks."""
    for key, value in event.items():
        if isinstance(value, str):
            lines = value.split("\n") if key in ("exception", "stack") else [value]
            event[key] = "\n".join(printable(line, MAX_TEXT) for line in lines)
    return event


def writes_json(log_format: LogFormat, stream: TextIO | None) -> bool:
    """Whether lines on this stream are JSON; ``auto`` means text on a terminal, else JSON."""
    return log_format == "json" or (log_format == "auto" and not (stream is not None and stream.isatty()))


def open_access_log(*, wanted: bool, log_format: LogFormat) -> AccessLog | None:
    """The access log on standard error, in the log's format; None if it is not wanted or standard error is closed."""
    stream = sys.stderr
    if not wanted or stream is None:
        return None
    return AccessLog(Outlet(stream), as_json=writes_json(log_format, stream))


def json_line(level: str, logger: str, event: str, **fields: object) -> str:
    """An event as a JSON log line, without the line break."""
    time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"timestamp": time, "level": level, "logger": logger, "event": event, **fields})


def asks_for_json(arguments: Sequence[str] = ()) -> bool:
    """Whether the command line or the environment explicitly ask for JSON; reads no other setting."""
    chosen = os.environ.get("LOG_FORMAT", "")
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, value = argument.partition("=")
        if name == "--log-format":
            chosen = value if equals else following
    return chosen.strip().lower() == "json"


def refuse(reason: str, *, as_json: bool, event: str = "cannot start") -> None:
    """Write to standard error, in one line, why the program does not start, or go on; ``event`` says which in JSON.

    The line is plain text unless JSON was requested explicitly: people and scripts read it, and the settings that would
    decide the format may be the problem.
    """
    reason = " ".join(reason.split())
    line = json_line("critical", "echo", event, reason=reason) if as_json else f"echo: {reason}"
    if sys.stderr is not None:
        with suppress(OSError):  # The exit status says that something is wrong.
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - the one line that the user gets


def _main_fields_first(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put the fields that people look for first at the front; the others keep their order."""
    leading = {key: event.pop(key) for key in ("timestamp", "level", "logger", "event") if key in event}
    return leading | dict(event)
