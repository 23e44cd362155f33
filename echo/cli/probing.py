"""Runs ``echo-grpc probe``: turns its command line into a survey, and the survey's report into an exit status."""

import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from pathlib import Path as File
from ssl import SSLContext
from typing import Final

import click
import trio

from echo.cli.errors import first, shortage
from echo.configuration import SettingsError, User, read
from echo.configuration.values import quoted, to_duration
from echo.logs import LEVEL, LogLevel, configure_logging, refuse
from echo.printable import printable
from echo.probe.budget import Budget, Pace
from echo.probe.calls import UNARY
from echo.probe.check import Check
from echo.probe.formats import FORMATS, as_junit, as_text
from echo.probe.formats.summary import counts_in_words
from echo.probe.line import Line, UnreachableError
from echo.probe.live import live_table
from echo.probe.path import Path
from echo.probe.report import Report
from echo.probe.survey import Survey
from echo.probe.table import UnknownCheckError, select
from echo.probe.target import Target, parse_target, parse_url
from echo.probe.verdict import (
    Expectation,
    ExpectationError,
    Verdict,
    accepted,
    differences,
    read_expectation,
    verdict,
)
from echo.tls import Tls, client_context

__all__ = ["probe"]

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 §5.6.2
_VISIBLE: Final = re.compile("[!-~]+")
_MAX_REPORT: Final = 16 * 2**20  # Bytes read of a report; it has some kilobytes.
_SHORT: Final = {
    "grpc_server_tls": "tls",
    "grpc_client_ca": "ca",
    "grpc_client_cert": "cert",
    "grpc_client_key": "key",
    "grpc_client_server_name": "server-name",
    "grpc_client_insecure": "insecure",
}


@dataclass(frozen=True)
class _Request:
    """The parsed command line."""

    path: Path
    checks: Sequence[Check]
    form: str
    output: File | None
    expected: Expectation | None


def probe(given: dict[str, object]) -> int:
    """Run the survey that the command line asks for, and deliver its report.

    Args:
        given: The values of the command line, by the names of `echo.cli.probe`'s parameters.

    Returns:
        The exit status.
    """
    try:
        configure_logging(_log_level(), "auto")
        request = _parse(given)
    except (SettingsError, UnknownCheckError, ValueError) as error:
        refuse(str(error), as_json=False)
        return Verdict.USAGE
    missing: list[str] = []
    try:
        report = trio.run(_survey, request, missing)
    except BaseException as error:
        if (unreachable := first(UnreachableError, error)) is not None:
            refuse(str(unreachable), as_json=False)
            return Verdict.UNREACHABLE
        if (lacking := shortage(error)) is not None:
            refuse(lacking, as_json=False)
            return Verdict.USAGE
        raise
    status = _deliver(request, report)
    for why in missing:
        click.echo(f"echo: --direct: {why}; what the server saw may be missing", err=True)
    return status


async def _survey(request: _Request, missing: list[str]) -> Report:
    """Run the survey until it is done or a signal comes; a report then has what is known so far.

    Adds to ``missing`` why servers given by ``--direct`` cannot be asked.
    """
    async with AsyncExitStack() as stack:
        signals = stack.enter_context(trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM))
        nursery = await stack.enter_async_context(trio.open_nursery())
        listener = None
        if sys.stdout is not None and sys.stdout.isatty():
            listener = await stack.enter_async_context(live_table(request.checks, sys.stdout))
        survey = Survey(request.path, request.checks, listener)
        report: Report | None = None
        with trio.CancelScope() as scope:
            nursery.start_soon(partial(_cancel_on_signal, signals, scope))
            for end in request.path.direct:
                nursery.start_soon(_try_direct, request.path, end, missing)
            report = await survey.run()
        nursery.cancel_scope.cancel()
        return report or survey.report()
    raise AssertionError  # Nothing here swallows exceptions.


async def _try_direct(path: Path, end: Target, missing: list[str]) -> None:
    try:
        stream = await Line(end, path.tls, path.server_name).connect()
    except UnreachableError as error:
        missing.append(str(error))
        return
    await trio.aclose_forcefully(stream)
    async with path.channel(end) as channel:
        answer = await path.call(channel, UNARY)
    if not answer.ok:
        missing.append(f"{end} does not answer as an echo server ({printable(str(answer))})")


async def _cancel_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


def _deliver(request: _Request, report: Report) -> int:
    """Write the report to standard output or its file, and return the exit status."""
    status, expected = verdict(report, request.expected), request.expected
    if request.form == "junit" and expected is not None:
        text = as_junit(report, accepted(report, expected))
    else:
        text = FORMATS[request.form](report)
    try:
        if isinstance(sys.stdout, TextIOWrapper):  # A character that its encoding lacks must not lose the report.
            sys.stdout.reconfigure(errors="backslashreplace")
        if request.output is None:
            click.echo(text, nl=False)
        else:
            request.output.write_text(text, "utf-8", "backslashreplace")
            if sys.stdout is not None and sys.stdout.isatty():
                click.echo(as_text(report), nl=False)
            else:
                click.echo(f"{counts_in_words(report)}; the report is in {request.output}")
    except OSError as error:
        refuse(f"cannot write the report: {error.strerror}", as_json=False)
        return Verdict.USAGE
    for line in () if expected is None else differences(report, expected):
        click.echo(line, err=True)
    return status


def _parse(given: dict[str, object]) -> _Request:
    """Parse the command line's values.

    Raises:
        SettingsError, UnknownCheckError, ValueError: A value is invalid; the text is one line.
    """
    text = {name: value for name, value in given.items() if isinstance(value, str)}
    many = {name: value for name, value in given.items() if isinstance(value, tuple)}
    tls = bool(given["tls"])
    target = _named("TARGET", text["target"], partial(parse_target, tls=tls))
    gateway = _named("--gateway", text["gateway"], parse_url) if "gateway" in text else None
    direct = [_named("--direct", one, parse_target) for one in many["direct"]]
    secured = any(end.tls for end in (target, *direct, *([gateway] if gateway else []))) or tls
    settings = _settings(text, insecure=bool(given["grpc_client_insecure"]), tls=secured)
    path = Path(
        target,
        partial(_context, settings),
        _budget(given, text.get("idle")),
        gateway,
        direct,
        [_header(one) for one in many["header"]],
        _authority(text.get("authority")),
        settings.grpc_client_server_name,
    )
    checks = select(_names(many["only"]), _names(many["skip"]))
    if not checks:
        raise ValueError("--skip: leaves no check to run")
    expected = _expectation(text["expect"]) if "expect" in text else None
    return _Request(path, checks, text["form"], _output(text.get("output")), expected)


def _named(name: str, value: str, parse: Callable[[str], Target]) -> Target:
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"{name}: {value!r} {error}") from None


class _Tls(Tls):
    """The settings of TLS, by the short names of the probe's flags."""

    def name_of(self, field: str) -> str:
        return f"--{_SHORT[field]}" if field in _SHORT else super().name_of(field)


def _settings(text: dict[str, str], *, insecure: bool, tls: bool) -> _Tls:
    flags = {name: text[name] for name in _SHORT if name in text}
    flags |= {name: "true" for name, on in (("grpc_server_tls", tls), ("grpc_client_insecure", insecure)) if on}
    # The environment's variables describe this program, not the path that is probed.
    settings = read(_Tls, {}, User.GATEWAY, **flags)
    client_context(settings)  # So that unusable files are reported now.
    return settings


def _context(settings: _Tls, alpn: Sequence[str]) -> SSLContext:
    context = client_context(settings)
    assert context is not None  # Only targets with TLS ask for one.
    context.set_alpn_protocols(list(alpn))
    return context


def _budget(given: dict[str, object], idle: str | None) -> Budget:
    if given["quick"] and given["long"]:
        raise ValueError("--quick and --long exclude each other")
    pace = Pace.QUICK if given["quick"] else Pace.LONG if given["long"] else Pace.DEFAULT
    try:
        seconds = None if idle is None else to_duration(idle)
    except ValueError as error:
        raise ValueError(f"--idle: {idle!r} {error}") from None
    if seconds == 0:
        raise ValueError("--idle: must be more than 0s")
    return Budget.of(pace, seconds)


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _HEADER_NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
        raise ValueError(f"--header: {text!r} is not a header (NAME=VALUE)")
    return name.lower(), value


def _authority(text: str | None) -> str | None:
    if text is not None and not _VISIBLE.fullmatch(text):
        raise ValueError(f"--authority: {text!r} is not a name that can be sent")
    return text


def _names(given: Sequence[str]) -> list[str]:
    return [name.strip() for one in given for name in one.split(",") if name.strip()]


def _expectation(name: str) -> Expectation:
    try:
        with File(name).open("rb") as file:
            return read_expectation(file.read(_MAX_REPORT).decode())
    except OSError as error:
        raise ValueError(f"--expect: {name!r} cannot be read: {error.strerror}") from None
    except (ExpectationError, UnicodeDecodeError) as error:
        fault = error if isinstance(error, ExpectationError) else "is not a report in JSON"
        raise ValueError(f"--expect: {name!r} {fault}") from None


def _output(name: str | None) -> File | None:
    """The file, checked to be writable."""
    if name is None:
        return None
    try:
        File(name).open("a").close()
    except OSError as error:
        raise ValueError(f"--output: {name!r} cannot be written: {error.strerror}") from None
    return File(name)


def _log_level() -> LogLevel:
    text = os.environ.get("LOG_LEVEL", "").strip() or "warning"
    try:
        return LEVEL.read(text)
    except ValueError as error:
        raise ValueError(f"LOG_LEVEL: {quoted(text)} {error}") from None
