"""What each setting accepts as a value, and what it is read as."""

import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echo.configuration.addresses import SERVERS
from echo.settings import load_settings
from echo.targets import parse_targets, read_targets


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("GRPC_SERVER_PORT", "0", 0),
        ("GRPC_SERVER_PORT", "65535", 65535),
        ("GRPC_SERVER_HOST", "echo.example.com", "echo.example.com"),
        ("GRPC_SERVER_HOST", "echo_server", "echo_server"),
        ("GRPC_SERVER_HOST", "bücher.example.", "bücher.example."),
        ("GRPC_SERVER_HOST", "a:8081, b , [::1]:5,[::1]", "a:8081,b,[::1]:5,::1"),
        ("GRPC_SERVER_HOST", "::1", "::1"),
        ("GRPC_SERVER_HOST", "unix:///run/echo.sock,unix:e.sock", "unix:/run/echo.sock,unix:e.sock"),
        ("GRPC_SERVER_HOST", "dns:///a:1,ipv4:10.0.0.1:2,10.0.0.2", "a:1,10.0.0.1:2,10.0.0.2"),
        ("GRPC_SERVER_HOST", "unix-abstract:echo", "unix-abstract:echo"),
        ("GRPC_CLIENT_AUTHORITY", "echo.example", "echo.example"),
        ("GRPC_CLIENT_AUTHORITY", "[::1]:443", "[::1]:443"),
        ("GRPC_SERVER_BIND", "::1", "::1"),
        ("GRPC_SERVER_BIND", "unix:/run/echo.sock", "unix:/run/echo.sock"),
        ("GRPC_SERVER_BIND", "unix:///run/echo.sock", "unix:/run/echo.sock"),
        ("GRPC_HEALTH_PORT", "0", 0),
        ("GRPC_SERVER_MIN_PING_INTERVAL", "0s", 0.0),
        ("GRPC_SERVER_MAX_CONNECTION_IDLE", "5m", 300.0),
        ("GRPC_SERVER_MAX_CONNECTION_IDLE", "Off", math.inf),
        ("GRPC_SERVER_MAX_CONNECTION_AGE", "infinite", math.inf),
        ("GRPC_SERVER_FLOOD_RATE", "10", 10),
        ("GRPC_MAX_CONCURRENT_STREAMS", "1", 1),
        ("GRPC_MAX_HEADER_LIST_SIZE", "4KiB", 4096),
        ("GRPC_STREAM_WINDOW", "1MiB", 1048576),
        ("GRPC_CONNECTION_WINDOW", "2147483647", 2147483647),
        ("GRPC_SERVER_KEEPALIVE", "TRUE", True),
        ("GRPC_SERVER_KEEPALIVE", "1", True),
        ("GRPC_SERVER_KEEPALIVE", "False", False),
        ("GRPC_SERVER_KEEPALIVE", "0", False),
        ("GRPC_SERVER_KEEPALIVE", "On", True),
        ("ACCESS_LOG", "off", False),
        ("ACCESS_LOG", "on", True),
        ("ACCESS_LOG", "false", False),
        ("HTTP_PING_INTERVAL", "off", math.inf),
        ("HTTP_MAX_CONNECTION_IDLE", "off", math.inf),
        ("HTTP_PING_INTERVAL", "1s", 1.0),
        ("GRPC_SERVER_KEEPALIVE_TIME", "1h30m", 5400.0),
        ("GRPC_CLIENT_KEEPALIVE_TIME", "500ms", 0.5),
        ("GRPC_CLIENT_KEEPALIVE_TIMEOUT", "1.5s", 1.5),
        ("GRPC_CLIENT_TIMEOUT", ".5m", 30.0),
        ("GRPC_CLIENT_TIMEOUT", "1m1s1ms1us1ns", 61.001001001),
        ("GRPC_CLIENT_TIMEOUT", "3\u00b5s", 0.000003),
        ("GRPC_CLIENT_TIMEOUT", "3\u03bcs", 0.000003),
        ("SHUTDOWN_GRACE", "0s", 0.0),
        ("SHUTDOWN_GRACE", "0", 0.0),
        ("GRPC_MAX_MESSAGE_SIZE", "4MiB", 4 * 1024 * 1024),
        ("GRPC_MAX_MESSAGE_SIZE", "64KiB", 65536),
        ("GRPC_MAX_MESSAGE_SIZE", "1.5kib", 1536),
        ("GRPC_MAX_MESSAGE_SIZE", "1MB", 1_000_000),
        ("GRPC_MAX_MESSAGE_SIZE", "1 GB", 1_000_000_000),
        ("GRPC_MAX_MESSAGE_SIZE", "12345", 12345),
        ("GRPC_MAX_MESSAGE_SIZE", "7B", 7),
        ("GRPC_MAX_MESSAGE_SIZE", "4294967295", 4294967295),
        ("HTTP_ALLOWED_ORIGINS", "https://example.com", ("https://example.com",)),
        ("HTTP_ALLOWED_ORIGINS", "https://a.example, http://b:81 ,", ("https://a.example", "http://b:81")),
        ("HTTP_ALLOWED_ORIGINS", "HTTPS://A.Example:443", ("https://a.example",)),
        ("HTTP_ALLOWED_ORIGINS", "http://[::1]:3000", ("http://[::1]:3000",)),
        (
            "HTTP_ALLOWED_ORIGINS",
            "chrome-extension://abcdef,null,*",
            ("chrome-extension://abcdef", "null", "*"),
        ),
        ("GRPC_CLIENT_BALANCE", "round_robin", "round_robin"),
        ("LOG_LEVEL", "DEBUG", "debug"),
        ("LOG_LEVEL", "warn", "warning"),
        ("LOG_FORMAT", "JSON", "json"),
    ],
)
def test_a_value_is_read_the_same_from_variable_and_flag(variable: str, text: str, value: object) -> None:
    field = variable.lower()
    assert getattr(load_settings({variable: text}), field) == value
    assert getattr(load_settings({}, **{field: text}), field) == value


def test_settings_that_belong_together_are_taken_together() -> None:
    settings = load_settings(
        {
            "GRPC_SERVER_BIND": "unix:/run/echo.sock",
            "GRPC_SERVER_SOCKET_MODE": "0660",
            "GRPC_SERVER_CERT": "/tls/cert.pem",
            "GRPC_SERVER_KEY": "/tls/key.pem",
            "GRPC_SERVER_CLIENT_CA": "/tls/ca.pem",
            "GRPC_SERVER_TLS": "true",
            "GRPC_CLIENT_CA": "/tls/ca.pem",
            "GRPC_CLIENT_CERT": "/tls/me.pem",
            "GRPC_CLIENT_KEY": "/tls/me.key",
            "GRPC_CLIENT_SERVER_NAME": "echo",
        }
    )
    assert settings.grpc_server_cert == Path("/tls/cert.pem")
    assert settings.grpc_server_socket_mode == 0o660
    assert settings.grpc_client_key == Path("/tls/me.key")
    assert settings.grpc_client_server_name == "echo"


PART = st.from_regex(
    r"(dns:(///)?|ipv[46]:)?([a-z0-9:.%\[\]_-]{0,12}|\[[0-9a-f:]{0,9}\](:[0-9]{0,6})?|[0-9.:]{1,12})"
    r"|unix:/{0,3}[a-z/]{0,3}|unix-abstract:[a-z/]{0,3}",
    fullmatch=True,
)


@example("0,unix:////")
@given(st.lists(PART | st.text(max_size=5), max_size=3).map(",".join))
def test_the_servers_that_a_setting_takes_are_those_that_a_channel_takes(text: str) -> None:
    try:
        taken = SERVERS.read(text)
    except ValueError:
        return
    targets = parse_targets(taken, 1)
    assert parse_targets(text, 1) == targets
    assert list(dict.fromkeys(target.at(1) for target in read_targets(taken))) == targets


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("16", 16), ("auto", 0), ("Auto", 0)])
def test_workers_are_a_number_or_auto(text: str, number: int) -> None:
    assert load_settings({"WORKERS": text}).workers == number
