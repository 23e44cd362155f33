"""A program that cannot start ends with one line on standard error and exit status 2, never with a traceback."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import trio
import trustme

from echo import __main__ as entry
from echo.cli import main
from echo.transport.accepting import OnAccept, WaitForRoom, accept
from tests.support.process import finished

HERE = ["--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0"]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line on standard error when the program does not start."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("echo: ")
    assert err.count("\n") == 1
    return err.removeprefix("echo: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("serve --grpc-server-port abc", "--grpc-server-port: 'abc' is not a port (0 to 65535)"),
        (
            "serve --grpc-server-keepalive=perhaps",
            "--grpc-server-keepalive: 'perhaps' is neither true nor false, nor on nor off",
        ),
        ("up --http-port=-1", "--http-port: '-1' is not a port (0 to 65535)"),
        ("serve --grpc-server-key k.pem", "--grpc-server-key: needs GRPC_SERVER_CERT as well"),
        ("gateway --grpc-server-port 0", "--grpc-server-port: the gateway can't call port 0"),
        ("serve --http-port 1", "No such option '--http-port'. Did you mean '--metrics-port'?"),
        ("serve now", "Got unexpected extra argument (now); see echo-grpc serve --help"),
        ("sreve", "No such command 'sreve'. Did you mean 'serve'?"),
        ("serve --log-level", "Option '--log-level' requires an argument."),
        (
            "serve --grpc-server-cert /no/cert.pem --grpc-server-key /no/key.pem",
            "--grpc-server-cert: '/no/cert.pem' cannot be read: No such file or directory",
        ),
        (
            "gateway --grpc-server-tls --grpc-client-ca /no/ca.pem",
            "--grpc-client-ca: '/no/ca.pem' cannot be read: No such file or directory",
        ),
        (
            "serve --grpc-server-bind 192.0.2.1 --grpc-server-port 0",
            "cannot listen on 192.0.2.1:0 (--grpc-server-bind, --grpc-server-port): Cannot assign requested address",
        ),
        (
            "gateway --http-cert /no/cert.pem --http-key /no/key.pem",
            "--http-cert: '/no/cert.pem' cannot be read: No such file or directory",
        ),
        ("up --http-key k.pem", "--http-key: needs HTTP_CERT as well"),
        (
            "serve --grpc-server-bind unix:/no/echo.sock",
            "cannot listen on unix:/no/echo.sock (--grpc-server-bind): No such file or directory",
        ),
        (
            "serve --grpc-server-bind unix:/",
            "cannot listen on unix:/ (--grpc-server-bind): The path exists and is not a socket",
        ),
        (
            "gateway --grpc-server-host a:1,b --grpc-server-port 0",
            "--grpc-server-port: the gateway can't call port 0",
        ),
        (
            "serve --grpc-max-concurrent-streams 0",
            "--grpc-max-concurrent-streams: '0' is not a whole number from 1 to 1000000",
        ),
        (
            "serve --grpc-stream-window 2MiB --grpc-connection-window 1MiB",
            "--grpc-stream-window: can't be more than --grpc-connection-window",
        ),
        (
            "up --grpc-client-keepalive --grpc-server-min-ping-interval 5m",
            "GRPC_CLIENT_KEEPALIVE_TIME: 10s is more often than --grpc-server-min-ping-interval permits, 5m",
        ),
        ("up --grpc-server-tls", "--grpc-server-tls: needs GRPC_SERVER_CERT and its key in this process"),
        (
            "up --grpc-server-cert c --grpc-server-key k",
            "GRPC_SERVER_TLS: must be true, as --grpc-server-cert turns TLS on",
        ),
        (
            "up --grpc-server-tls --grpc-server-cert c --grpc-server-key k --grpc-server-client-ca a",
            "--grpc-server-client-ca: the gateway needs GRPC_CLIENT_CERT to pass it",
        ),
    ],
)
def test_a_program_that_cannot_start_is_refused_in_one_line(
    arguments: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, *arguments.split()) == line


def test_a_name_without_an_address_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def resolve(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)  # A machine without a network could not tell.
    assert refusal(capsys, "serve", "--grpc-server-bind", "nowhere.invalid") == (
        "cannot listen on nowhere.invalid:8081 (--grpc-server-bind, GRPC_SERVER_PORT): Name or service not known"
    )


def test_a_taken_port_is_named_for_the_server(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--grpc-server-bind", "127.0.0.1", "--grpc-server-port", str(taken)]
    assert refusal(capsys, "serve", *flags) == (
        f"cannot listen on 127.0.0.1:{taken} (--grpc-server-bind, --grpc-server-port): Address already in use"
    )


@pytest.mark.parametrize("program", [["gateway"], ["up", *HERE]])
def test_a_taken_port_is_named_for_the_gateway(
    program: list[str], taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PORT", str(taken))
    assert refusal(capsys, *program, "--http-bind", "127.0.0.1") == (
        f"cannot listen on 127.0.0.1:{taken} (--http-bind, HTTP_PORT): Address already in use"
    )


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = trustme.CA()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.issue_cert("localhost").cert_chain_pems[0].write_to_path(cert)
    authority.issue_cert("localhost").private_key_pem.write_to_path(key)
    flags = ["--grpc-server-cert", str(cert), "--grpc-server-key", str(key)]
    assert refusal(capsys, "serve", *flags) == (
        f"--grpc-server-key: {str(key)!r} is not the key of the certificate in {str(cert)!r}"
    )


def test_a_variable_of_the_gateway_does_not_keep_the_server_from_starting(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PORT", "rubbish")
    flags = ["--grpc-server-bind", "127.0.0.1", "--grpc-server-port", str(taken)]
    assert "Address already in use" in refusal(capsys, "serve", *flags)
    assert refusal(capsys, "up") == "HTTP_PORT: 'rubbish' is not a port (0 to 65535)"


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"GRPC_SERVER_PORT": "abc"}, "echo: GRPC_SERVER_PORT: 'abc' is not a port (0 to 65535)\n"),
        ({"SHUTDOWN_GRACE": "soon"}, "echo: SHUTDOWN_GRACE: 'soon' is not a duration (such as 10s, 1h30m or 500ms)\n"),
        (
            {"GRPC_SERVER_CERT": "/no/cert.pem", "GRPC_SERVER_KEY": "/no/key.pem"},
            "echo: GRPC_SERVER_CERT: '/no/cert.pem' cannot be read: No such file or directory\n",
        ),
    ],
)
def test_the_process_exits_2_with_nothing_but_the_line(variables: dict[str, str], line: str) -> None:
    done = finished("serve", **variables)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


@pytest.mark.parametrize(
    ("arguments", "log_format", "reason"),
    [
        (["serve", "--grpc-server-port", "abc"], "json", "--grpc-server-port: 'abc' is not a port (0 to 65535)"),
        (["serve", "--log-format=JSON", "--now"], "", "No such option '--now'."),
        (["serve", "--shutdown-grace", "x", "--log-format", "json"], "auto", "--shutdown-grace: 'x' is not a duration"),
        (["up", "--log-format", "console", "--http-port=x"], "json", ""),
        (["serve", "--grpc-server-bind", "192.0.2.1"], " json\n", "cannot listen on 192.0.2.1:8081"),
        (["serve", "--log-format", "xml"], "json", ""),
        (["serve", "--log-format"], "json", ""),
    ],
)
def test_the_line_is_json_if_json_is_asked_for_explicitly(
    arguments: list[str],
    log_format: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LOG_FORMAT", log_format)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    if not reason:
        assert err.startswith("echo: ")
        return
    event = json.loads(err)
    assert (event["level"], event["event"]) == ("critical", "cannot start")
    assert event["reason"].startswith(reason)


def test_a_bug_is_one_event_in_the_log_with_its_traceback_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> NoReturn:
        raise LookupError("a bug")

    monkeypatch.setattr("echo.cli.programs.echo_services", broken)
    assert main(["serve", *HERE, "--log-format", "json"]) == 1
    event = json.loads(capsys.readouterr().err)
    assert event["event"] == "crashed"
    assert event["level"] == "critical"
    assert "LookupError: a bug" in event["exception"]


def test_the_traceback_shows_a_bug_that_is_deep_in_the_nurseries_of_the_gateway(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python leaves out what is more than ten groups deep."""

    async def broken(listening: socket.socket, on_accept: OnAccept, wait_for_room: WaitForRoom | None = None) -> None:
        if "gateway" in on_accept.__module__:
            raise LookupError("a bug")
        await accept(listening, on_accept, wait_for_room)

    monkeypatch.setattr("echo.transport.listener.accept", broken)
    web = ["--http-bind", "127.0.0.1", "--http-port", "0", "--metrics-bind", "127.0.0.1", "--metrics-port", "0"]
    assert main(["up", *HERE, *web, "--log-format", "json"]) == 1
    assert "LookupError: a bug" in json.loads(capsys.readouterr().err)["exception"]


def test_a_bug_before_the_settings_are_read_is_such_an_event_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise LookupError("a bug")

    monkeypatch.setattr("echo.cli.load_settings", broken)
    assert main(["serve"]) == 1
    out, err = capsys.readouterr()
    assert (out, json.loads(err)["event"]) == ("", "crashed")


def test_ctrl_c_before_anything_listens_to_signals_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("echo.cli.programs.echo_services", interrupted)
    assert main(["serve", *HERE]) == 130


def test_health_may_be_asked_for_with_any_sequence_of_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("health", "unix:/no/such.sock")) == 2
    assert capsys.readouterr().err == "echo: cannot connect to unix:/no/such.sock: No such file or directory\n"


def test_where_memory_runs_out_the_limit_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_memory(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr("echo.rpc.Server.serve", no_memory)
    assert refusal(capsys, "serve", *HERE).startswith("no memory is left: ")
    assert main(["serve", *HERE, "--log-format", "json"]) == 2
    assert json.loads(capsys.readouterr().err)["event"] == "cannot go on"  # A running server may run out of it, too.


def test_where_memory_runs_out_while_the_command_is_loaded_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory() -> NoReturn:
        raise MemoryError

    monkeypatch.setattr("echo.__main__._command", no_memory)
    assert entry.main() == 2
    assert capsys.readouterr() == ("", "echo-grpc: no memory is left\n")


@pytest.mark.parametrize("arguments", ["--grpc-server-bind localhost", "--grpc-server-bind 127.0.0.1 --workers 2"])
def test_where_no_thread_can_be_started_the_limit_is_named(
    arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server needs threads to look up names, and to start workers."""

    async def no_thread(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
    monkeypatch.setattr(trio.socket, "getaddrinfo", no_thread)
    line = refusal(capsys, "serve", "--grpc-server-port", "0", *arguments.split())
    assert "no thread can be started" in line or line == "--workers: cannot start workers: can't start new thread"
