"""The command line: ``echo-grpc serve | gateway | up | probe | health``, or ``python -m echo``.

Every setting is a flag of the commands that use it, made from `echo.settings.SETTINGS`; a flag overrides its variable.
Exit status: 0 after a graceful stop; 2 with one line on standard error when the command line, a setting or an address
can't be used, or when file descriptors, threads or memory run out; 1 with the traceback in the log for a bug; 130 or
143 when a second signal stopped it at once. The one line is plain text even where the log is JSON, unless
``LOG_FORMAT=json`` or ``--log-format json`` asks for JSON.
"""

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby

import click
import structlog
import trio

from echo.cli.errors import StartError, first, shortage, without_groups_of_one
from echo.cli.garbage import rare_full_collections
from echo.cli.lifecycle import run_until_signalled
from echo.cli.probe import probe_command
from echo.cli.programs import up
from echo.cli.workers import gateway, serve
from echo.extras import MissingExtraError
from echo.health.command import health, health_command
from echo.logs import asks_for_json, configure_logging, refuse
from echo.settings import SETTINGS, Setting, SettingsError, User, load_settings
from echo.workers import CHANNEL, NoWorkersError, WorkerExitedError

__all__ = ["main"]

log = structlog.get_logger(__name__)

OK, CRASHED, REFUSED, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The command line without the program's name; by default, the process's own.

    Returns:
        The exit status; never raises.
    """
    if arguments is None:
        arguments, command = sys.argv[1:], [sys.executable, *sys.orig_argv[1:]]
    else:
        command = [sys.executable, "-m", "echo", *arguments]
    if arguments and arguments[0] == "health":
        return health(arguments[1:])
    as_json = asks_for_json(arguments)
    try:
        status = _commands(as_json, command).main(arguments, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        with suppress(OSError):
            error.show()
        return REFUSED
    except click.ClickException as error:
        refuse(_with_the_way_to_help(error), as_json=as_json)
        return REFUSED
    except OSError as error:  # By click, which writes the help.
        refuse(shortage(error) or f"cannot write: {error.strerror}", as_json=as_json)
        return REFUSED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return int(status or OK)


def _with_the_way_to_help(error: click.ClickException) -> str:
    """The error in words. Where the number of arguments is wrong, click does not say what is right."""
    said = error.format_message()
    if type(error) is click.UsageError or isinstance(error, click.MissingParameter):
        command = error.ctx and error.ctx.command.name
        return f"{said.removesuffix('.')}; see echo-grpc {command} --help"
    return said


class _Group(click.Group):
    """Lists its commands in the order they were added, the most used first."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - As click calls it.
        """The names of the commands."""
        return list(self.commands)


class _Option(click.Option):
    """The flag of a setting."""

    def __init__(self, setting: Setting) -> None:
        """A flag that takes its value as text; `echo.settings` parses it like the variable's value."""
        default = f", default {setting.default_text}" if setting.default_text else ""
        text = f"{setting.help}  [{setting.variable}{default}]"
        if isinstance(setting.default, bool):  # The flag alone means true.
            super().__init__([setting.flag], help=text, metavar="[true|false]", is_flag=False, flag_value="true")
        else:
            super().__init__([setting.flag], help=text, metavar="VALUE")
        self.group = setting.title


class _Command(click.Command):
    """A command whose help groups its flags by topic."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags; those that are not settings come last."""
        for title, options in groupby(self.get_params(ctx), lambda option: getattr(option, "group", "Other")):
            with formatter.section(title):
                formatter.write_dl([record for option in options if (record := option.get_help_record(ctx))])


def _commands(as_json: bool, command: Sequence[str]) -> click.Group:
    group = _Group(
        "echo-grpc",
        help="gRPC echo services on trio, and a WebSocket gateway in front of them.\n\n"
        "Start with `echo-grpc up`: it runs both, and prints the address of a console for your browser.",
        epilog="`echo-grpc COMMAND --help` lists the command's flags. Most can also be set by environment variables.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    group.add_command(
        _command("up", partial(_run, up, as_json), User.BOTH, "Run the gRPC server and the gateway in one process.")
    )
    for name, program, user, text in (
        ("serve", serve, User.SERVER, "Run the gRPC server."),
        ("gateway", gateway, User.GATEWAY, "Run the gateway, which calls a gRPC server."),
    ):
        group.add_command(_command(name, partial(_run, partial(program, command), as_json), user, text))
    group.add_command(probe_command())
    group.add_command(health_command())
    return click.version_option(package_name="echo-grpc")(group)


def _command(name: str, run: Callable[..., int], user: User, help_text: str) -> click.Command:
    return _Command(
        name,
        help=f"{help_text}\n\nEach flag overrides the environment variable named in brackets.",
        params=[_Option(setting) for setting in SETTINGS if setting.used_by & user],
        callback=partial(run, user),
    )


def _run(program: Callable[..., Awaitable[None]], as_json: bool, user: User, /, **flags: str | None) -> int:
    """Run a program with the settings it uses, from the environment and the flags; returns the exit status."""
    configure_logging(log_format="json" if as_json else "auto")  # For errors before the settings are read.
    try:
        given = {field: value for field, value in flags.items() if value is not None}
        settings = load_settings(os.environ, user, **given)
        configure_logging(settings.log_level, settings.log_format)
        if CHANNEL in os.environ:
            structlog.contextvars.bind_contextvars(worker=os.getpid())
        else:  # Workers do not repeat their parent's notes.
            for note in settings.notes:
                getattr(log, note.level)(note.text)
        with rare_full_collections():
            return trio.run(run_until_signalled, partial(program, settings))
    except BaseException as error:  # noqa: BLE001 - Every error becomes an exit status and one line.
        return _outcome(error, as_json)


def _outcome(error: BaseException, as_json: bool) -> int:
    """Report what ended the program, and return its exit status."""
    refusal = first((SettingsError, StartError, MissingExtraError), error)
    if refusal is not None:
        refuse(str(refusal), as_json=as_json)
        return REFUSED
    exited = first(WorkerExitedError, error)
    if exited is not None and exited.status == REFUSED:
        return REFUSED  # The worker has already reported why.
    if (failure := exited or first(NoWorkersError, error)) is not None:
        log.critical(str(failure))
        return CRASHED
    if first(KeyboardInterrupt, error) is not None:
        return INTERRUPTED
    if (lacking := shortage(error)) is not None:
        refuse(lacking, as_json=as_json, event="cannot go on")  # It may have been running.
        log.debug("crashed", exc_info=error)
        return REFUSED
    log.critical("crashed", exc_info=without_groups_of_one(error))
    return CRASHED
