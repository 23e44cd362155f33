"""``echo-grpc health``: grpc_health_probe's flags and exit statuses, against real servers, and quick to start."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
import trio
from grpclib.const import Cardinality, Handler

from echo.cli import main
from echo.health import command as under_test
from echo.health.command import health
from echo.pb.com.gopay.echo import Message
from echo.pb.grpc.health.v1 import HealthCheckResponseServingStatus
from echo.rpc import Server, open_unix_listener
from echo.rpc.health import NOT_SERVING, SERVING, Health, ServingStatus
from echo.services import EchoService
from tests.support.process import ROOT, running
from tests.support.serving import serving
from tests.support.tcp import reserved_port, tcp_server
from tests.support.tls import Certificates

UNARY_ECHO = "com.gopay.echo.Server"
CONNECT_SOON = ("--connect-timeout", "200ms")
ANSWER_SOON = ("--connect-timeout", "20s", "--rpc-timeout", "50ms")
UNHURRIED = ("--connect-timeout", "60s", "--rpc-timeout", "60s")
DEFAULT = under_test.PATIENCE


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than by default."""
    monkeypatch.setattr(under_test, "PATIENCE", 60.0)


async def asked(*arguments: str, **environ: str) -> int:
    return await trio.to_thread.run_sync(health, arguments, environ)


@asynccontextmanager
async def healthy() -> AsyncIterator[tuple[Health, str]]:
    """A server whose health can be set, and its address."""
    service = Health([EchoService()])
    async with serving(Server([service])) as port:
        yield service, f"127.0.0.1:{port}"


def saying(words: bytes) -> AbstractContextManager[int]:
    """A peer that sends these bytes to each connection, then nothing, until the client closes; yields its port."""

    def behave(client: socket.socket) -> None:
        client.sendall(words)
        while client.recv(65_536):
            pass

    return tcp_server(behave)


@pytest.mark.parametrize("flag", ["", "-addr=", "--addr="])
async def test_a_server_that_serves_is_healthy(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with healthy() as (_, address):
        assert await asked(f"{flag}{address}") == 0
        assert await asked(f"{flag}{address}", "-service", UNARY_ECHO) == 0
    assert capsys.readouterr() == ("status: SERVING\nstatus: SERVING\n", "")


async def test_a_server_that_does_not_serve_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    async with healthy() as (service, address):
        service.set(UNARY_ECHO, NOT_SERVING)
        assert await asked(address) == 0
        assert await asked(address, f"-service={UNARY_ECHO}") == 4
        service.drain()
        assert await asked(address) == 4
    assert capsys.readouterr().err == "echo: not healthy: NOT_SERVING\n" * 2


async def test_a_status_that_is_not_known_yet_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    async with healthy() as (service, address):
        service.set("", cast("ServingStatus", HealthCheckResponseServingStatus.UNKNOWN))
        assert await asked(address) == 4
    assert capsys.readouterr().err == "echo: not healthy: UNKNOWN\n"


@pytest.mark.parametrize("length", [1, 127, 128, 300])
async def test_a_service_s_name_may_be_long(length: int) -> None:
    name = "x" * length
    async with healthy() as (service, address):
        service.set(name, SERVING)
        assert await asked(address, "--service", name) == 0
        assert await asked(address, "--service", f"{name}x") == 3


async def test_an_invalid_answer_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    class Odd:
        def __mapping__(self) -> dict[str, Handler]:
            return {"/grpc.health.v1.Health/Check": Handler(self.check, Cardinality.UNARY_UNARY, Message, Message)}

        async def check(self, stream: Any) -> None:
            await stream.recv_message()
            await stream.send_message(Message("what?"))

    async with serving(Server([Odd()])) as port:
        assert await asked(f":{port}") == 3
    assert capsys.readouterr().err == "echo: the check failed: the answer is not a HealthCheckResponse\n"


async def test_a_failed_call_has_another_exit_status_than_not_serving(capsys: pytest.CaptureFixture[str]) -> None:
    async with healthy() as (_, address):
        assert await asked(address, "--service", "nobody") == 3
    async with serving(Server([EchoService()])) as port:
        assert await asked(f":{port}") == 3
    said = capsys.readouterr().err
    assert "NOT_FOUND: unknown service nobody" in said
    assert "UNIMPLEMENTED" in said


def test_a_peer_that_does_not_speak_http2_counts_as_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    with saying(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        assert health([f":{port}"], {}) == 2
    said = f"cannot connect to localhost:{port}: it answered in HTTP/1 ('HTTP/1.1 200 OK'), where HTTP/2 was expected"
    assert said in capsys.readouterr().err


def test_a_silent_peer_counts_as_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    with saying(b"") as port:
        assert health([f":{port}", *CONNECT_SOON], {}) == 2
    assert (
        capsys.readouterr().err == f"echo: cannot connect to localhost:{port}: connected, but no HTTP/2 within 0.2 s\n"
    )


def test_a_peer_that_closes_at_once_counts_as_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    with tcp_server(lambda client: client.shutdown(socket.SHUT_WR)) as port:
        assert health([f":{port}"], {}) == 2
    assert re.search("closed the connection|reset by peer|Broken pipe", capsys.readouterr().err)


def test_a_closed_port_counts_as_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    with reserved_port() as port:
        assert health([f":{port}"], {}) == 2
        assert capsys.readouterr().err == f"echo: cannot connect to localhost:{port}: Connection refused\n"
        assert health(["--http", f"http://127.0.0.1:{port}"], {}) == 2
        assert capsys.readouterr().err == f"echo: cannot connect to 127.0.0.1:{port}: Connection refused\n"


def test_a_name_without_an_address_counts_as_unreachable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def resolve(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)  # A machine without a network would take its time to tell.
    assert health(["nowhere.invalid:1"], {}) == 2
    assert capsys.readouterr().err == "echo: cannot connect to nowhere.invalid:1: Name or service not known\n"


def test_how_long_it_waits_by_default_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert health(["--help"], {}) == 0
    assert capsys.readouterr().out.count(f"by default {DEFAULT:g}s") == 2


def test_a_server_that_does_not_answer_the_call_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    settings = bytes.fromhex("000000040000000000")
    with saying(settings) as port:
        assert health([f":{port}", *ANSWER_SOON], {}) == 3
    assert capsys.readouterr().err == "echo: the check failed: no answer within 0.05 s\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nonsense"], "'nonsense' is not HOST:PORT or unix:PATH"),
        (["a:70000"], "'a:70000' is not HOST:PORT or unix:PATH"),
        ([":1", "--addr", ":1"], "TARGET and --addr mean the same: give only one"),
        ([":1", "-rpc-timeout=soon"], "--rpc-timeout: 'soon' is not a duration (such as 10s, 1h30m or 500ms)"),
        ([":1", "-connect-timeout", "0"], "--connect-timeout: '0' is too short (must be more than 0s)"),
        ([":1", "-tls-no-verify"], "--tls-... only applies with --tls"),
        ([":1", "-tls-ca-cert=x", "-tls=false"], "--tls-... only applies with --tls"),
        ([":1", "-tls", "-tls-client-cert=x"], "--tls-client-cert and --tls-client-key belong together"),
        ([":1", "-tls", "-tls-no-verify", "-tls-server-name=a"], "--tls-no-verify contradicts"),
        ([":1", "-tls", "-tls-ca-cert=/no/ca.pem"], "/no/ca.pem: No such file or directory"),
        ([":1", "-service", "\udcff"], r"--service: '\udcff' is not UTF-8"),
        ([":1", "-user-agent", "a\nb"], r"--user-agent: 'a\nb' has characters other than printable ASCII"),
        ([":1", "-rpc-header=x"], "--rpc-header: 'x' is not NAME:VALUE"),
        ([":1", "--http", "http://a"], "--http takes no TARGET and no --service"),
        (["--http", "ftp://a"], "'ftp://a' is not http://HOST:PORT or https://HOST:PORT"),
        ([":1", "-nonsense"], "No such option '--nonsense'"),
        ([":1", ":2"], "Got unexpected extra argument (:2)"),
    ],
)
def test_an_invalid_command_line_is_reported_in_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert health(arguments, {}) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"echo: {line}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"GRPC_SERVER_PORT": "x"}, "echo: GRPC_SERVER_PORT: 'x' is not a port (0 to 65535)\n"),
        ({"GRPC_HEALTH_PORT": "0"}, "echo: GRPC_HEALTH_PORT: 0 is any free port: name the server's address\n"),
    ],
)
def test_an_invalid_port_in_the_environment_is_reported(
    environ: dict[str, str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert health([], environ) == 1
    assert capsys.readouterr().err == line


async def test_metadata_that_cannot_be_sent_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    async with healthy() as (_, address):
        assert await asked(address, "-rpc-header=a b: c") == 1
        assert await asked(address, "-rpc-header=a: b", "-rpc-header=A: c", "-user-agent=me") == 0
    assert "metadata key" in capsys.readouterr().err


async def test_metadata_of_octets_and_too_much_of_any(capsys: pytest.CaptureFixture[str]) -> None:
    async with healthy() as (_, address):
        assert await asked(address, "-rpc-header=a-bin: \udcff") == 0
        assert await asked(address, f"-rpc-header=a: {'x' * 100_000}") == 3
        assert await asked(address, "-connect-timeout=2000000h", "-rpc-timeout=2000000h") == 0
    assert "echo: the check failed: RESOURCE_EXHAUSTED: request metadata of" in capsys.readouterr().err


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
async def test_the_exit_status_is_the_same_when_nobody_takes_the_words(streams: str) -> None:
    async def status(*arguments: str) -> int:
        command = [
            "sh",
            "-c",
            f'exec "$@" {streams}',
            "sh",
            sys.executable,
            "-m",
            "echo",
            "health",
            *arguments,
            *UNHURRIED,
        ]
        return (await trio.run_process(command, cwd=ROOT, check=False)).returncode

    async with healthy() as (service, address):
        assert await status(address) == 0
        assert await status(address, "--service", "nobody") == 3
        service.drain()
        assert await status(address) == 4
    assert await status("nonsense") == 1


async def test_without_a_target_the_server_of_the_environment_is_asked(tmp_path: Path) -> None:
    async with healthy() as (service, address):
        port = address.partition(":")[2]
        assert await asked(GRPC_SERVER_PORT=f" {port} ") == 0
        assert await asked(GRPC_SERVER_PORT="1", GRPC_HEALTH_PORT=port, GRPC_SERVER_CERT="c.pem") == 0
        assert await asked(GRPC_SERVER_PORT=port, GRPC_HEALTH_PORT="", GRPC_SERVER_BIND="127.0.0.1") == 0
        assert (
            await asked(GRPC_SERVER_PORT="tcp://10.0.0.1:1", GRPC_SERVER_SERVICE_HOST="10.0.0.1", GRPC_HEALTH_PORT=port)
            == 0
        )
        service.drain()
        assert await asked(GRPC_SERVER_PORT=port) == 4
    path = str(tmp_path / "echo.sock")
    server = Server([Health([])])
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, await open_unix_listener(path))
        assert await asked(GRPC_SERVER_BIND=f"unix:{path}") == 0
        assert await asked(f"unix:{path}") == 0
        nursery.cancel_scope.cancel()


async def test_a_server_without_tls_is_named_as_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    async with healthy() as (_, address):
        assert await asked(address, "-tls") == 2
    assert capsys.readouterr().err == f"echo: cannot connect to {address}: the server does not speak TLS\n"


async def test_tls_is_spoken_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = Certificates(tmp_path)
    cert, key = files.server
    variables = {"GRPC_SERVER_CERT": cert, "GRPC_SERVER_KEY": key}
    async with running("serve", "--grpc-server-port", "0", **variables) as echo:
        port = await echo.grpc_port()
        assert await asked(f":{port}", "-tls", f"-tls-ca-cert={files.ca}") == 0
        assert await asked(f":{port}", "-tls", f"-tls-ca-cert={files.strange_ca}") == 2
        assert await asked(f":{port}", "-tls", f"-tls-ca-cert={files.ca}", "-tls-server-name=other") == 2
        assert await asked(f":{port}", "-tls", "-tls-no-verify") == 0
        assert await asked(f":{port}") == 2
        assert await asked(**variables, GRPC_SERVER_PORT=str(port)) == 0
    assert "unable to get local issuer certificate" in capsys.readouterr().err


async def test_mtls_shows_a_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = Certificates(tmp_path)
    cert, key = files.server
    variables = {"GRPC_SERVER_CERT": cert, "GRPC_SERVER_KEY": key, "GRPC_SERVER_CLIENT_CA": files.ca}
    async with running("serve", "--grpc-server-port", "0", **variables) as echo:
        tls = [f":{await echo.grpc_port()}", "-tls", f"-tls-ca-cert={files.ca}"]
        assert await asked(*tls, f"-tls-client-cert={files.client.cert}", f"-tls-client-key={files.client.key}") == 0
        assert await asked(*tls) == 2
        assert capsys.readouterr().err.endswith(": the server requires a client certificate\n")
        assert await asked(**variables, GRPC_SERVER_PORT=tls[0].removeprefix(":")) == 2
        assert "requires a client certificate; set GRPC_HEALTH_PORT, which needs none" in capsys.readouterr().err
        pair = files.strange_client
        assert await asked(*tls, f"-tls-client-cert={pair.cert}", f"-tls-client-key={pair.key}") == 2
        assert "the server refuses our certificate: it does not know who signed it" in capsys.readouterr().err


async def test_a_gateway_is_asked_over_http(capsys: pytest.CaptureFixture[str]) -> None:
    with reserved_port() as nobody:
        async with running("gateway", "--http-port", "0", "--grpc-server-port", str(nobody)) as echo:
            port = await echo.http_port()
            assert await asked("--http", f"http://127.0.0.1:{port}/healthz") == 0
            assert await asked("--http", f"127.0.0.1:{port}", "--rpc-timeout", "10s") == 4
            assert await asked("--http", f"127.0.0.1:{port}/no") == 4
            assert await asked("--http", f"127.0.0.1:{nobody}") == 2
    said = capsys.readouterr()
    assert said.out == "status: HTTP 200\n"
    assert "echo: not healthy: HTTP 503: " in said.err


def test_an_answer_that_is_not_a_gateway_s_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    def speak(client: socket.socket) -> None:
        client.recv(65_536)
        client.sendall(b"SSH-2.0-x\r\n")

    with tcp_server(speak) as port:
        assert health(["--http", f"127.0.0.1:{port}"], {}) == 3
    with saying(b"") as port:
        assert health(["--http", f"127.0.0.1:{port}", *ANSWER_SOON], {}) == 3
    assert capsys.readouterr().err == (
        "echo: the check failed: the answer is not HTTP/1.1\necho: the check failed: no answer within 0.05 s\n"
    )


def test_health_is_listed_among_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "health" in capsys.readouterr().out
    assert main(["health", "nonsense"]) == 1
    assert main(["health", "--help"]) == 0
    assert "grpc_health_probe" in capsys.readouterr().out


def test_a_check_loads_only_what_it_needs() -> None:
    """Starting the command costs what it loads; an event loop and the settings would cost four times as much."""
    code = """
import sys
sys.argv = ["echo-grpc", "health", ":1"]
from echo.__main__ import main
assert main() == 2
heavy = {"trio", "anyio", "pydantic", "betterproto", "google.protobuf", "quart", "structlog", "ssl", "http.client"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ}, stderr=subprocess.PIPE, check=True)


def test_the_installed_command_starts_without_loading_the_other_commands() -> None:
    assert 'echo-grpc = "echo.__main__:main"' in (ROOT / "pyproject.toml").read_text()
