"""What a person is told to try must work where they are: on this machine."""

import pytest
import structlog

from echo.cli.announce import announce_gateway, announce_server, authority
from echo.cli.programs import calling_beside
from echo.settings import load_settings

TLS = {"grpc_server_cert": "c", "grpc_server_key": "k"}


@pytest.mark.parametrize(
    ("settings", "bound", "example"),
    [
        ({}, "0.0.0.0:5 (plain text)", '-plaintext -d \'{"message":"hi"}\' localhost:5 '),
        ({"grpc_server_bind": "::"}, "[::]:5 (plain text)", '-plaintext -d \'{"message":"hi"}\' localhost:5 '),
        ({"grpc_server_bind": "::1"}, "[::1]:5 (plain text)", '-plaintext -d \'{"message":"hi"}\' [::1]:5 '),
        ({"grpc_server_bind": "echo.example"}, "echo.example:5 (plain text)", "echo.example:5 "),
        (TLS, "0.0.0.0:5 (TLS)", '-insecure -d \'{"message":"hi"}\' localhost:5 '),
        (TLS | {"grpc_server_client_ca": "a"}, "0.0.0.0:5 (mTLS)", "-insecure -cert client.pem -key client.key "),
    ],
)
def test_the_server_is_announced_where_it_listens_and_tried_where_it_can_be_reached(
    settings: dict[str, str], bound: str, example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with structlog.testing.capture_logs() as events:
        announce_server(load_settings({}, **settings), 5)
    assert [event["address"] for event in events] == [bound.partition(" ")[0]]
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"gRPC server on {bound}"
    assert second.startswith("  try: grpcurl ")
    assert example in second


def test_the_gateway_is_announced_with_the_server_it_calls(capsys: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as events:
        announce_gateway(load_settings({}, grpc_server_host="::1", grpc_server_tls="true"), 5)
    assert [(event["address"], event["server"]) for event in events] == [("0.0.0.0:5", "[::1]:8081")]
    assert capsys.readouterr().out.splitlines() == [
        "gateway on http://0.0.0.0:5 (calls [::1]:8081 over TLS)",
        "  try: curl http://localhost:5/grpc/hi",
        """  try: wscat -c ws://localhost:5/ws/stream/bidirectional -x '{"stream_id":"a","message":"hi"}' -w 1""",
    ]


def test_a_server_on_a_unix_socket_is_announced_by_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings({}, grpc_server_bind="unix:/run/my echo.sock")
    with structlog.testing.capture_logs() as events:
        announce_server(settings, None, 5)
    assert [event.get("address", event.get("port")) for event in events] == ["unix:/run/my echo.sock", 5]
    assert capsys.readouterr().out.splitlines() == [
        "gRPC server on unix:/run/my echo.sock (plain text)",
        """  try: grpcurl -plaintext -d '{"message":"hi"}' -unix '/run/my echo.sock' com.gopay.echo.Server/GetReply""",
        "health of the gRPC server on port 5 (plain text)",
    ]


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
    with structlog.testing.capture_logs():
        announce_gateway(load_settings({}, grpc_server_host=host), 5)
    assert capsys.readouterr().out.splitlines()[0] == f"gateway on http://0.0.0.0:5 (calls {servers})"


@pytest.mark.parametrize(
    ("host", "text"), [("localhost", "localhost:1"), ("127.0.0.1", "127.0.0.1:1"), ("::1", "[::1]:1")]
)
def test_an_ipv6_address_with_its_port_is_in_brackets(host: str, text: str) -> None:
    assert authority(host, 1) == text


@pytest.mark.parametrize(
    ("bind", "host"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.1", "192.0.2.1"), ("echo.example", "echo.example")],
)
def test_a_gateway_calls_the_server_beside_it_where_that_listens(bind: str, host: str) -> None:
    settings = calling_beside(load_settings({}, grpc_server_bind=bind), 5)
    assert (settings.grpc_server_host, settings.grpc_server_port) == (host, 5)
    assert settings.grpc_client_server_name is None


def test_a_gateway_calls_the_server_beside_it_on_its_unix_socket() -> None:
    settings = calling_beside(load_settings({}, grpc_server_bind="unix:/run/echo.sock"), None)
    assert settings.grpc_server_host == "unix:/run/echo.sock"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "localhost"),
        ({"grpc_server_host": "echo.example"}, "echo.example"),
        ({"grpc_server_host": "echo.example:5,other.example"}, "echo.example"),
        ({"grpc_server_host": "unix:/run/echo.sock"}, "localhost"),
        ({"grpc_client_server_name": "other.example"}, "other.example"),
        ({"grpc_client_insecure": "true"}, None),
    ],
)
def test_a_server_called_over_loopback_is_verified_by_the_name_it_is_known_by(
    given: dict[str, str], name: str | None
) -> None:
    settings = calling_beside(load_settings({}, grpc_server_tls="true", **TLS, **given), 5)
    assert settings.grpc_client_server_name == name
