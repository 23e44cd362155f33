"""``echo-grpc health``, with the flags and exit statuses of ``grpc_health_probe``.

It can replace that program: flags may begin with one dash or two, and ``-tls=true`` works too. Exit status: 0 SERVING,
1 the command line, 2 no connection, 3 the call failed, 4 not SERVING.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TextIO

import click

from echo.health.check import SERVING, Call, check
from echo.health.line import CallFailedError, TlsFiles, UnreachableError, UnusableFileError
from echo.health.target import own_server, parse_address, parse_url
from echo.health.web import get
from echo.targets import Target

__all__ = ["health", "health_command"]

HEALTHY, USAGE, UNREACHABLE, FAILED, UNHEALTHY = range(5)
PATIENCE: Final = 1.0  # Seconds, as in grpc_health_probe.

_GO_FLAG: Final = re.compile(r"-([a-z][a-z-]+)((?:=.*)?)", re.DOTALL)
_SWITCH: Final = re.compile(r"--(?:tls|tls-no-verify|verbose|v)=(?:(true|t|1)|(?:false|f|0))", re.IGNORECASE)


class _UsageError(Exception):
    """Something invalid on the command line or in the environment."""


def health(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run the check that the command line asks for.

    Args:
        arguments: The command line after ``health``.
        environ: Configures the server to ask if no target is given.

    Returns:
        The exit status; never raises.
    """
    try:
        command = _command(environ)
        status = command.main(_translate_go_flags(arguments), "echo-grpc health", standalone_mode=False)
    except (_UsageError, UnusableFileError) as error:
        return _fail(USAGE, str(error))
    except click.ClickException as error:
        return _fail(USAGE, error.format_message())
    except UnreachableError as error:
        return _fail(UNREACHABLE, f"cannot connect to {error}")
    except CallFailedError as error:
        return _fail(FAILED, f"the check failed: {error}")
    except OSError as error:  # By click, which writes the help.
        return _fail(USAGE, f"cannot write: {error.strerror}")
    except (click.Abort, KeyboardInterrupt):
        return _fail(FAILED, "interrupted")
    return int(status or HEALTHY)


def health_command() -> click.Command:
    """The command, for the list in ``echo-grpc --help``. `health` runs it, as its exit statuses are its own."""
    return _command(os.environ)


def _fail(status: int, text: str) -> int:
    """Write why, and return the exit status."""
    _write(sys.stderr, f"echo: {text}\n")
    return status


def _write(stream: TextIO | None, line: str) -> None:
    """Write a line, if anybody takes it: the exit status says the same."""
    if stream is not None:  # It was closed before Python started.
        with suppress(OSError):
            stream.write(line)
            stream.flush()


def _translate_go_flags(arguments: Sequence[str]) -> list[str]:
    """Translate flags in Go's form, ``-addr=x`` and ``-tls=true``, into click's."""
    translated = []
    for argument in arguments:
        if flag := _GO_FLAG.fullmatch(argument):
            argument = f"--{flag[1]}{flag[2]}"
        switch = _SWITCH.fullmatch(argument)
        if switch is None:
            translated.append(argument)
        elif switch[1]:
            translated.append(argument.partition("=")[0])
    return translated


def _text(name: str, metavar: str, text: str, *, multiple: bool = False) -> click.Option:
    return click.Option([f"--{name}"], metavar=metavar, help=text, multiple=multiple)


def _switch(*names: str, text: str) -> click.Option:
    return click.Option(names, is_flag=True, help=text)


def _command(environ: Mapping[str, str]) -> click.Command:
    return click.Command(
        "health",
        help="Ask a gRPC server for its health, or a gateway with --http.\n\n"
        "TARGET is HOST:PORT, :PORT or unix:PATH; by default the server that this environment configures, on "
        "GRPC_HEALTH_PORT or else GRPC_SERVER_PORT.\n\n"
        "Exit status: 0 SERVING, 1 the command line, 2 no connection, 3 the call failed, 4 not SERVING. Flags and "
        "statuses are those of grpc_health_probe.",
        params=[
            click.Argument(["target"], required=False),
            _text("addr", "HOST:PORT", "the same as TARGET"),
            _text("service", "NAME", "the service to ask about, by default the whole server"),
            _text("http", "URL", "ask a gateway instead: its /readyz, or the path in the URL"),
            _text("connect-timeout", "DURATION", "how long connecting may take, by default 1s"),
            _text("rpc-timeout", "DURATION", "how long the call may take, by default 1s"),
            _text("rpc-header", "NAME:VALUE", "send this with the call; may be repeated", multiple=True),
            _text("user-agent", "TEXT", "send this as the user-agent"),
            _switch("--tls", text="speak TLS"),
            _text("tls-ca-cert", "FILE", "CAs (PEM) to verify the server with; by default the system's"),
            _text("tls-client-cert", "FILE", "our certificate chain (PEM), for mTLS"),
            _text("tls-client-key", "FILE", "its private key (PEM)"),
            _text("tls-server-name", "NAME", "the name in the server's certificate, if not its host"),
            _switch("--tls-no-verify", text="do not verify the server's certificate"),
            _switch("-v", "--verbose", text="also print which server is asked"),
        ],
        callback=lambda **given: _run(environ, given),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


def _run(environ: Mapping[str, str], given: Mapping[str, object]) -> int:
    flags = {name: value for name, value in given.items() if isinstance(value, str)}
    tls = _tls(flags, wanted=bool(given["tls"]), verify=not given["tls_no_verify"])
    connect, patience = _duration(flags, "connect_timeout"), _duration(flags, "rpc_timeout")
    try:
        if "http" in flags:
            return _ask_gateway(flags, connect, patience, tls)
        address, own_tls = _server(flags, environ)
        headers = given["rpc_header"]
        assert isinstance(headers, tuple)
        call = Call(_service(flags), connect, patience, [_header(one) for one in headers], _user_agent(flags))
        if tls is None and own_tls:  # It asks itself by a local address, which is not in the certificate.
            tls = TlsFiles(verify=False)
        if given["verbose"]:
            _write(
                sys.stderr, f"echo: asking {address} {'over TLS ' if tls else ''}for {call.service or 'its health'}\n"
            )
        with _naming(address, own=own_tls):
            status = check(address, call, tls)
    except ValueError as error:
        raise _UsageError(str(error)) from None
    if status != SERVING:
        return _fail(UNHEALTHY, f"not healthy: {status}")
    _write(sys.stdout, f"status: {status}\n")
    return HEALTHY


def _ask_gateway(flags: Mapping[str, str], connect: float, patience: float, tls: TlsFiles | None) -> int:
    if "target" in flags or "addr" in flags or "service" in flags:
        raise _UsageError("--http takes no TARGET and no --service")
    web = parse_url(flags["http"])
    with _naming(web.address):
        answer = get(web.address, web.path, connect, patience, (tls or TlsFiles()) if web.tls else None)
    if answer.status != 200:
        return _fail(UNHEALTHY, f"not healthy: HTTP {answer.status}" + (f": {answer.text}" if answer.text else ""))
    _write(sys.stdout, f"status: HTTP {answer.status}\n")
    return HEALTHY


@contextmanager
def _naming(address: Target, *, own: bool = False) -> Iterator[None]:
    """Name the address in front of why it is unreachable, and for the ``own`` server with mTLS, what to do about it."""
    try:
        yield
    except UnreachableError as error:
        advice = "; set GRPC_HEALTH_PORT, which needs none" if own and "client certificate" in str(error) else ""
        raise UnreachableError(f"{address}: {error}{advice}") from None


def _server(flags: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Target, bool]:
    """The server to ask, and whether the environment configures it with TLS."""
    if "target" in flags and "addr" in flags:
        raise _UsageError("TARGET and --addr mean the same: give only one")
    named = flags.get("target", flags.get("addr"))
    return own_server(environ) if named is None else (parse_address(named), False)


def _tls(flags: Mapping[str, str], *, wanted: bool, verify: bool) -> TlsFiles | None:
    files = [flags.get(name) for name in ("tls_ca_cert", "tls_client_cert", "tls_client_key", "tls_server_name")]
    if not wanted and not flags.get("http", "").startswith("https:"):
        if any(files) or not verify:
            raise _UsageError("--tls-... only applies with --tls")
        return None
    if not verify and (files[0] or files[3]):
        raise _UsageError("--tls-no-verify contradicts --tls-ca-cert and --tls-server-name")
    if (files[1] is None) != (files[2] is None):
        raise _UsageError("--tls-client-cert and --tls-client-key belong together")
    return TlsFiles(verify, *files)


def _service(flags: Mapping[str, str]) -> str:
    service = flags.get("service", "")
    try:
        service.encode()
    except UnicodeEncodeError:
        raise _UsageError(f"--service: {service!r} is not UTF-8") from None
    return service


def _user_agent(flags: Mapping[str, str]) -> str | None:
    user_agent = flags.get("user_agent")
    if user_agent is not None and not (user_agent.isascii() and user_agent.isprintable()):
        raise _UsageError(f"--user-agent: {user_agent!r} has characters other than printable ASCII")
    return user_agent


def _header(text: str) -> tuple[str, str | bytes]:
    """Name and value; the octets as given for a name that ends with ``-bin``."""
    name, colon, value = text.partition(":")
    name, value = name.strip().lower(), value.strip()
    if not colon or not name:
        raise _UsageError(f"--rpc-header: {text!r} is not NAME:VALUE")
    return name, os.fsencode(value) if name.endswith("-bin") else value


def _duration(flags: Mapping[str, str], name: str) -> float:
    if name not in flags:
        return PATIENCE
    from echo.configuration.values import POSITIVE, to_duration  # noqa: PLC0415 - Slow to load, and the flag is rare.

    try:
        return to_duration(flags[name], least=POSITIVE)
    except ValueError as error:
        raise _UsageError(f"--{name.replace('_', '-')}: {flags[name]!r} {error}") from None
