"""The commands that are announced to try must work on this machine."""

import errno
import io
import json

import pytest
import structlog

from echo.cli.announce import announce_console, announce_gateway, announce_server
from echo.cli.programs import gateway_settings
from echo.settings import load_settings

TLS = {"grpc_server_cert": "c", "grpc_server_key": "k"}


@pytest.mark.parametrize(
    ("settings", "bound", "security", "attempt"),
    [
        ({}, "0.0.0.0:5", "plain text", '-plaintext -d \'{"message":"hi"}\' localhost:5 '),
        ({"grpc_server_bind": "::"}, "[::]:5", "plain text", '-plaintext -d \'{"message":"hi"}\' localhost:5 '),
        ({"grpc_server_bind": "::1"}, "[::1]:5", "plain text", '-plaintext -d \'{"message":"hi"}\' [::1]:5 '),
        ({"grpc_server_bind": "echo.example"}, "echo.example:5", "plain text", "echo.example:5 "),
        (TLS, "0.0.0.0:5", "TLS", '-insecure -d \'{"message":"hi"}\' localhost:5 '),
        (TLS | {"grpc_server_client_ca": "a"}, "0.0.0.0:5", "mTLS", "-insecure -cert client.pem -key client.key "),
    ],
)
def test_the_server_is_announced_where_it_listens_and_tried_where_it_can_be_reached(
    settings: dict[str, str], bound: str, security: str, attempt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    announce_server(load_settings({}, log_format="console", **settings), 5)
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"gRPC server on {bound} ({security})"
    assert second.startswith("  try: grpcurl ")
    assert attempt in second
    announce_server(load_settings({}, log_format="json", **settings), 5)
    (event,) = said(capsys)
    assert (event["event"], event["service"], event["address"], event["port"]) == ("listening", "grpc", bound, 5)
    assert event["security"] == security
    assert event["attempts"] == [second.removeprefix("  try: ")]


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def test_the_gateway_is_announced_with_the_server_it_calls(capsys: pytest.CaptureFixture[str]) -> None:
    given = {"grpc_server_host": "::1", "grpc_server_tls": "true"}
    announce_gateway(load_settings({}, log_format="console", **given), 5)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "gateway on http://0.0.0.0:5 (calls [::1]:8081 over TLS)",
        "  try: curl http://localhost:5/grpc/hi",
        """  try: wscat -c ws://localhost:5/ws/stream/bidirectional -x '{"stream_id":"a","message":"hi"}' -w 1""",
    ]
    announce_gateway(load_settings({}, **given), 5)
    (event,) = said(capsys)
    assert (event["service"], event["address"], event["port"]) == ("gateway", "0.0.0.0:5", 5)
    assert (event["server"], event["server_tls"], event["security"]) == ("[::1]:8081", True, "plain text")
    assert event["attempts"] == [line.removeprefix("  try: ") for line in lines[1:]]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://localhost:8080/"),
        ({"http_bind": "::"}, "http://localhost:8080/"),
        ({"http_bind": "::1"}, "http://[::1]:8080/"),
        ({"http_bind": "192.0.2.1", "http_cert": "c", "http_key": "k"}, "https://192.0.2.1:8080/"),
    ],
)
def test_the_console_is_announced_by_what_a_browser_can_open(
    given: dict[str, str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    announce_console(load_settings({}, log_format="console", **given), 8080)
    assert capsys.readouterr().out == f"console: {url}\n"
    announce_console(load_settings({}, **given), 8080)
    (event,) = said(capsys)
    assert (event["event"], event["url"]) == ("console", url)
    assert list(event)[:4] == ["timestamp", "level", "logger", "event"]


def test_a_server_on_a_unix_socket_is_announced_by_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"grpc_server_bind": "unix:/run/my echo.sock"}
    announce_server(load_settings({}, log_format="console", **settings), None, 5)
    assert capsys.readouterr().out.splitlines() == [
        "gRPC server on unix:/run/my echo.sock (plain text)",
        """  try: grpcurl -plaintext -d '{"message":"hi"}' -unix '/run/my echo.sock' com.gopay.echo.Server/GetReply""",
        "health of the gRPC server on port 5 (plain text)",
    ]
    announce_server(load_settings({}, **settings), None, 5)
    server, health = said(capsys)
    assert server["address"] == "unix:/run/my echo.sock"
    assert "port" not in server
    assert (health["service"], health["port"]) == ("health", 5)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_path_that_is_not_valid_text_is_announced(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    announce_server(load_settings({}, log_format=log_format, grpc_server_bind="unix:/run/\udcff.sock"), None)
    assert r"\udcff.sock" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("host", "servers"),
    [
        ("a,b:1", "a:8081, b:1"),
        ("[::1]:1,[::1]", "[::1]:1, [::1]:8081"),
        ("unix:/run/echo.sock", "unix:/run/echo.sock"),
    ],
)
def test_the_gateway_is_announced_with_every_server_it_may_call(
    host: str, servers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    announce_gateway(load_settings({}, log_format="console", grpc_server_host=host), 5)
    assert capsys.readouterr().out.splitlines()[0] == f"gateway on http://0.0.0.0:5 (calls {servers})"


class Terminal(io.StringIO):
    """A standard output that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("log_format", "form"), [("auto", "text"), ("console", "text"), ("json", "json")], ids=lambda value: value
)
def test_on_a_terminal_it_is_text_unless_json_is_asked_for(
    log_format: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    announce_console(load_settings({}, log_format=log_format), 8080)
    assert terminal.getvalue().startswith("console: " if form == "text" else '{"timestamp": ')


class Broken(io.TextIOWrapper):
    """Standard output whose reader has gone."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8")

    def flush(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("stdout", [None, Broken()])
def test_without_a_reader_of_standard_output_addresses_go_to_the_log(
    stdout: Broken | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    discarded: list[bool] = []
    monkeypatch.setattr("echo.cli.announce._discard", lambda: discarded.append(True))
    monkeypatch.setattr("sys.stdout", stdout)
    with structlog.testing.capture_logs() as events:
        announce_console(load_settings({}), 8080)
    assert (events[0]["event"], events[0]["url"]) == ("console", "http://localhost:8080/")
    assert [event["event"] for event in events[1:]] == ([] if stdout is None else ["cannot write to standard output"])
    assert discarded == ([] if stdout is None else [True])


@pytest.mark.parametrize(
    ("bind", "host"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("0::0", "::1"),
        ("192.0.2.1", "192.0.2.1"),
        ("echo.example", "echo.example"),
    ],
)
def test_a_gateway_calls_the_server_in_its_process_where_it_listens(bind: str, host: str) -> None:
    settings = gateway_settings(load_settings({}, grpc_server_bind=bind), 5)
    assert (settings.grpc_server_host, settings.grpc_server_port) == (host, 5)
    assert settings.grpc_client_server_name is None


def test_a_gateway_calls_the_server_in_its_process_on_its_unix_socket() -> None:
    settings = gateway_settings(load_settings({}, grpc_server_bind="unix:/run/echo.sock"), None)
    assert settings.grpc_server_host == "unix:/run/echo.sock"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "localhost"),
        ({"grpc_server_host": "echo.example"}, "echo.example"),
        ({"grpc_server_host": "echo.example:5,other.example"}, "echo.example"),
        ({"grpc_server_host": "unix:/run/echo.sock"}, "localhost"),
        ({"grpc_server_host": "dns:///echo.example:5"}, "echo.example"),
        ({"grpc_client_server_name": "other.example"}, "other.example"),
        ({"grpc_client_authority": "shop.example:443"}, None),  # The certificate must then be for this name.
        ({"grpc_client_authority": "shop.example", "grpc_client_server_name": "other.example"}, "other.example"),
        ({"grpc_client_insecure": "true"}, None),
    ],
)
def test_a_server_called_over_loopback_is_verified_by_the_name_it_is_known_by(
    given: dict[str, str], name: str | None
) -> None:
    settings = gateway_settings(load_settings({}, grpc_server_tls="true", **TLS, **given), 5)
    assert settings.grpc_client_server_name == name
    assert settings.grpc_client_authority == given.get("grpc_client_authority")
