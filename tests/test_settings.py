"""Settings: the values each variable accepts, the messages for those it refuses, and contradictions."""

import math
import re
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echo.configuration.addresses import SERVERS
from echo.configuration.values import format_duration, format_size, to_duration, to_size
from echo.settings import SETTINGS, Settings, SettingsError, User, load_settings
from echo.targets import parse_targets, read_targets

VARIABLES = [setting.variable for setting in SETTINGS]
NO_DURATION = "is not a duration (such as 10s, 1h30m or 500ms)"
NO_SIZE = "is not a size (such as 4MiB, 64KiB, 1MB or a number of bytes)"
NO_ORIGIN = "which is not an origin (such as https://example.com, or * for any)"
NO_MODE = "is not a file mode (three octal digits, such as 660)"
NO_WINDOW = "is not a size that a window can have (65536 to 2147483647 bytes)"
A_SERVER = "a server (HOST, HOST:PORT or unix:PATH; separate several with commas)"
NO_PORT_BUT_A_SERVICE_LINK = (
    "is not a port (0 to 65535). Kubernetes sets such values for a Service of this name:"
    " turn that off by enableServiceLinks: false"
)
NO_BALANCE = "is neither pick_first nor round_robin"
NO_MESSAGE_SIZE = "is not a size that a message can have (1 to 4294967295 bytes)"


def values(settings: Settings) -> dict[str, object]:
    return {each.field: getattr(settings, each.field) for each in SETTINGS}


def refusal(environ: dict[str, str], **flags: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, **flags)
    return str(caught.value)


def refusal_or_none(environ: dict[str, str], **flags: str) -> str | None:
    try:
        load_settings(environ, **flags)
    except SettingsError as error:
        return str(error)
    return None


def test_defaults_are_those_of_the_contract() -> None:
    assert values(load_settings({})) == {
        "grpc_server_port": 8081,
        "grpc_server_bind": "0.0.0.0",
        "grpc_server_socket_mode": None,
        "grpc_health_port": None,
        "grpc_server_host": "localhost",
        "grpc_server_keepalive": False,
        "grpc_server_keepalive_time": 7200.0,
        "grpc_server_keepalive_timeout": 20.0,
        "grpc_server_min_ping_interval": None,
        "grpc_server_max_connection_idle": math.inf,
        "grpc_server_max_connection_age": math.inf,
        "grpc_server_max_connection_age_grace": math.inf,
        "grpc_server_handshake_timeout": 20.0,
        "grpc_server_write_timeout": 20.0,
        "grpc_server_window_timeout": 300.0,
        "grpc_server_flood_burst": 1000,
        "grpc_server_flood_rate": 100,
        "grpc_server_cert": None,
        "grpc_server_key": None,
        "grpc_server_client_ca": None,
        "grpc_server_tls": False,
        "grpc_client_ca": None,
        "grpc_client_cert": None,
        "grpc_client_key": None,
        "grpc_client_server_name": None,
        "grpc_client_insecure": False,
        "grpc_client_balance": "pick_first",
        "grpc_client_authority": None,
        "grpc_client_keepalive": False,
        "grpc_client_keepalive_time": 10.0,
        "grpc_client_keepalive_timeout": 20.0,
        "grpc_client_timeout": 15.0,
        "grpc_max_message_size": 4194304,
        "grpc_max_concurrent_streams": 100,
        "grpc_max_header_list_size": 16384,
        "grpc_stream_window": 65536,
        "grpc_connection_window": 1048576,
        "http_port": 8080,
        "http_bind": "0.0.0.0",
        "http_cert": None,
        "http_key": None,
        "metrics_port": None,
        "metrics_bind": "0.0.0.0",
        "http_allowed_origins": (),
        "http_ping_interval": 27.0,
        "workers": 1,
        "shutdown_grace": 10.0,
        "log_level": "info",
        "log_format": "auto",
        "access_log": True,
        "echo_scripting": True,
        "echo_interop": False,
    }


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


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        ("GRPC_SERVER_PORT", "abc", "GRPC_SERVER_PORT: 'abc' is not a port (0 to 65535)"),
        ("GRPC_SERVER_PORT", "65536", "GRPC_SERVER_PORT: '65536' is not a port (0 to 65535)"),
        ("GRPC_SERVER_PORT", "-1", "GRPC_SERVER_PORT: '-1' is not a port (0 to 65535)"),
        ("HTTP_PORT", "80 80", "HTTP_PORT: '80 80' is not a port (0 to 65535)"),
        ("HTTP_PORT", "\u0663", "HTTP_PORT: '\u0663' is not a port (0 to 65535)"),
        (
            "HTTP_PORT",
            "tcp://10.0.0.1:80",
            f"HTTP_PORT: 'tcp://10.0.0.1:80' {NO_PORT_BUT_A_SERVICE_LINK}",
        ),
        (
            "GRPC_SERVER_HOST",
            "http://a",
            f"GRPC_SERVER_HOST: 'http://a' is not {A_SERVER}: http:// is not a scheme of gRPC's targets",
        ),
        ("GRPC_SERVER_HOST", "a:0", f"GRPC_SERVER_HOST: 'a:0' is not {A_SERVER}: 0 is not a port"),
        ("GRPC_SERVER_HOST", "a:65536", f"GRPC_SERVER_HOST: 'a:65536' is not {A_SERVER}: 65536 is not a port"),
        ("GRPC_SERVER_HOST", "[a]:1", f"GRPC_SERVER_HOST: '[a]:1' is not {A_SERVER}: no IPv6 address in brackets"),
        ("GRPC_SERVER_HOST", "a,", f"GRPC_SERVER_HOST: 'a,' holds '', which is not {A_SERVER}"),
        ("GRPC_SERVER_HOST", "a,b:x", f"GRPC_SERVER_HOST: 'a,b:x' holds 'b:x', which is not {A_SERVER}"),
        ("GRPC_SERVER_HOST", "unix:", "GRPC_SERVER_HOST: 'unix:' does not name a Unix socket (unix:PATH)"),
        ("GRPC_SERVER_HOST", "a,é..b", f"GRPC_SERVER_HOST: 'a,é..b' holds 'é..b', which is not {A_SERVER}"),
        ("GRPC_CLIENT_AUTHORITY", "https://a", "GRPC_CLIENT_AUTHORITY: 'https://a' is not HOST or HOST:PORT"),
        ("GRPC_CLIENT_AUTHORITY", "a..b", "GRPC_CLIENT_AUTHORITY: 'a..b' is not HOST or HOST:PORT"),
        ("GRPC_SERVER_BIND", "a:1", "GRPC_SERVER_BIND: 'a:1' is not a host name, an IP address or unix:PATH"),
        ("GRPC_SERVER_BIND", "unix://run", "GRPC_SERVER_BIND: 'unix://run' has no absolute path after unix://"),
        (
            "GRPC_SERVER_BIND",
            f"unix:/{'x' * 107}",
            f"GRPC_SERVER_BIND: 'unix:/{'x' * 69}...' is too long for a Unix socket (at most 107 bytes)",
        ),
        ("GRPC_SERVER_SOCKET_MODE", "999", f"GRPC_SERVER_SOCKET_MODE: '999' {NO_MODE}"),
        ("GRPC_HEALTH_PORT", "x", "GRPC_HEALTH_PORT: 'x' is not a port (0 to 65535)"),
        ("GRPC_SERVER_MAX_CONNECTION_AGE", "1", f"GRPC_SERVER_MAX_CONNECTION_AGE: '1' {NO_DURATION}, or off"),
        (
            "GRPC_SERVER_MAX_CONNECTION_AGE",
            "0s",
            "GRPC_SERVER_MAX_CONNECTION_AGE: '0s' is too short (must be more than 0s), or off",
        ),
        (
            "GRPC_SERVER_MAX_CONNECTION_IDLE",
            "1ms",
            "GRPC_SERVER_MAX_CONNECTION_IDLE: '1ms' is too short (at least 1s), or off",
        ),
        (
            "GRPC_SERVER_HANDSHAKE_TIMEOUT",
            "999ms",
            "GRPC_SERVER_HANDSHAKE_TIMEOUT: '999ms' is too short (at least 1s)",
        ),
        ("GRPC_SERVER_WRITE_TIMEOUT", "1ns", "GRPC_SERVER_WRITE_TIMEOUT: '1ns' is too short (at least 1s)"),
        ("HTTP_PING_INTERVAL", "20ms", "HTTP_PING_INTERVAL: '20ms' is too short (at least 1s), or off"),
        ("ACCESS_LOG", "all", "ACCESS_LOG: 'all' is neither true nor false, nor on nor off"),
        ("GRPC_SERVER_FLOOD_BURST", "99", "GRPC_SERVER_FLOOD_BURST: '99' is not a whole number from 100 to 1000000000"),
        (
            "GRPC_MAX_CONCURRENT_STREAMS",
            "0",
            "GRPC_MAX_CONCURRENT_STREAMS: '0' is not a whole number from 1 to 1000000",
        ),
        ("GRPC_STREAM_WINDOW", "63KiB", f"GRPC_STREAM_WINDOW: '63KiB' {NO_WINDOW}"),
        ("GRPC_CONNECTION_WINDOW", "2GiB", f"GRPC_CONNECTION_WINDOW: '2GiB' {NO_WINDOW}"),
        (
            "GRPC_MAX_HEADER_LIST_SIZE",
            "1KiB",
            "GRPC_MAX_HEADER_LIST_SIZE: '1KiB' is not a size that a list of headers can have (4096 to 16777216 bytes)",
        ),
        (
            "GRPC_SERVER_FLOOD_RATE",
            "0.5",
            "GRPC_SERVER_FLOOD_RATE: '0.5' is not a whole number from 10 to 1000000000",
        ),
        ("HTTP_BIND", "[::1]", "HTTP_BIND: '[::1]' is not a host name or an IP address"),
        ("HTTP_BIND", "x" * 64, f"HTTP_BIND: '{'x' * 64}' is not a host name or an IP address"),
        ("GRPC_SERVER_TLS", "yes", "GRPC_SERVER_TLS: 'yes' is neither true nor false, nor on nor off"),
        ("GRPC_CLIENT_BALANCE", "random", "GRPC_CLIENT_BALANCE: 'random' is neither pick_first nor round_robin"),
        ("GRPC_CLIENT_BALANCE", "PICK_FIRST", f"GRPC_CLIENT_BALANCE: 'PICK_FIRST' {NO_BALANCE}"),
        ("GRPC_CLIENT_TIMEOUT", "0s", "GRPC_CLIENT_TIMEOUT: '0s' is too short (must be more than 0s)"),
        ("GRPC_CLIENT_TIMEOUT", "10", f"GRPC_CLIENT_TIMEOUT: '10' {NO_DURATION}"),
        ("SHUTDOWN_GRACE", "-5s", f"SHUTDOWN_GRACE: '-5s' {NO_DURATION}"),
        ("SHUTDOWN_GRACE", "5 s", f"SHUTDOWN_GRACE: '5 s' {NO_DURATION}"),
        ("SHUTDOWN_GRACE", ".s", f"SHUTDOWN_GRACE: '.s' {NO_DURATION}"),
        ("SHUTDOWN_GRACE", "9999999h", "SHUTDOWN_GRACE: '9999999h' is too long (at most 292 years)"),
        ("GRPC_MAX_MESSAGE_SIZE", "4 MiBs", f"GRPC_MAX_MESSAGE_SIZE: '4 MiBs' {NO_SIZE}"),
        ("GRPC_MAX_MESSAGE_SIZE", "0.3KiB", f"GRPC_MAX_MESSAGE_SIZE: '0.3KiB' {NO_SIZE}"),
        ("GRPC_MAX_MESSAGE_SIZE", "0", f"GRPC_MAX_MESSAGE_SIZE: '0' {NO_MESSAGE_SIZE}"),
        ("GRPC_MAX_MESSAGE_SIZE", "4GiB", f"GRPC_MAX_MESSAGE_SIZE: '4GiB' {NO_MESSAGE_SIZE}"),
        (
            "HTTP_ALLOWED_ORIGINS",
            "*,https://a/",
            f"HTTP_ALLOWED_ORIGINS: '*,https://a/' holds 'https://a/', {NO_ORIGIN}",
        ),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: 'loud' is not a log level (debug, info, warning, error, critical)"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT: 'xml' is not a log format (auto, console, json)"),
        ("GRPC_CLIENT_CA", "a\0b", r"GRPC_CLIENT_CA: 'a\x00b' is not the path of a file"),
    ],
)
def test_a_value_that_does_not_parse_gives_one_line_with_name_value_and_what_is_expected(
    variable: str, text: str, line: str
) -> None:
    assert refusal({variable: text}) == line


@pytest.mark.parametrize(
    "text",
    [
        "example.com",
        "https://",
        "https://a/path",
        "https://a b",
        "https://u@a",
        "https://a:x",
        "https://[a",
        "//a",
    ],
)
def test_what_no_browser_sends_as_origin_is_refused(text: str) -> None:
    assert "which is not an origin" in refusal({"HTTP_ALLOWED_ORIGINS": text})


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"GRPC_SERVER_CERT": "c"}, "GRPC_SERVER_CERT: needs GRPC_SERVER_KEY as well"),
        ({"GRPC_SERVER_KEY": "k"}, "GRPC_SERVER_KEY: needs GRPC_SERVER_CERT as well"),
        ({"GRPC_SERVER_CLIENT_CA": "a"}, "GRPC_SERVER_CLIENT_CA: needs GRPC_SERVER_CERT as well"),
        (
            {"GRPC_SERVER_TLS": "true", "GRPC_CLIENT_CERT": "c"},
            "GRPC_CLIENT_CERT: needs GRPC_CLIENT_KEY as well",
        ),
        (
            {"GRPC_SERVER_TLS": "true", "GRPC_CLIENT_KEY": "k"},
            "GRPC_CLIENT_KEY: needs GRPC_CLIENT_CERT as well",
        ),
        ({"HTTP_CERT": "c"}, "HTTP_CERT: needs HTTP_KEY as well"),
        ({"HTTP_KEY": "k"}, "HTTP_KEY: needs HTTP_CERT as well"),
        ({"GRPC_STREAM_WINDOW": "2MiB"}, "GRPC_STREAM_WINDOW: can't be more than GRPC_CONNECTION_WINDOW"),
        (
            {"GRPC_SERVER_MAX_CONNECTION_AGE_GRACE": "1m"},
            "GRPC_SERVER_MAX_CONNECTION_AGE_GRACE: needs GRPC_SERVER_MAX_CONNECTION_AGE as well",
        ),
        (
            {"GRPC_SERVER_SOCKET_MODE": "660"},
            "GRPC_SERVER_SOCKET_MODE: only applies when GRPC_SERVER_BIND is unix:PATH",
        ),
        ({"GRPC_CLIENT_CA": "a"}, "GRPC_CLIENT_CA: only applies when GRPC_SERVER_TLS is true"),
        (
            {"GRPC_CLIENT_CERT": "c", "GRPC_CLIENT_KEY": "k"},
            "GRPC_CLIENT_CERT: only applies when GRPC_SERVER_TLS is true",
        ),
        (
            {"GRPC_CLIENT_SERVER_NAME": "a"},
            "GRPC_CLIENT_SERVER_NAME: only applies when GRPC_SERVER_TLS is true",
        ),
        (
            {"GRPC_CLIENT_INSECURE": "true"},
            "GRPC_CLIENT_INSECURE: only applies when GRPC_SERVER_TLS is true",
        ),
        (
            {"GRPC_SERVER_TLS": "1", "GRPC_CLIENT_INSECURE": "1", "GRPC_CLIENT_CA": "a"},
            "GRPC_CLIENT_INSECURE: contradicts GRPC_CLIENT_CA: set one or the other",
        ),
    ],
)
def test_settings_that_contradict_one_another_are_refused(environ: dict[str, str], line: str) -> None:
    assert refusal(environ) == line


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


def test_a_flag_wins_over_the_environment_and_errors_name_the_flag() -> None:
    assert load_settings({"HTTP_PORT": "1"}, http_port="2").http_port == 2
    assert load_settings({"HTTP_PORT": "rubbish"}, http_port="2").http_port == 2
    assert refusal({"HTTP_PORT": "1"}, http_port="x") == "--http-port: 'x' is not a port (0 to 65535)"
    assert refusal({"GRPC_SERVER_KEY": "k"}, grpc_server_client_ca="a") == (
        "GRPC_SERVER_KEY: needs GRPC_SERVER_CERT as well"
    )
    line = refusal({}, grpc_client_ca="a")
    assert line == "--grpc-client-ca: only applies when GRPC_SERVER_TLS is true"


def test_a_setting_goes_by_the_name_it_was_given_by() -> None:
    settings = load_settings({"HTTP_PORT": "1"}, grpc_server_port="2")
    assert settings.name_of("http_port") == "HTTP_PORT"
    assert settings.name_of("grpc_server_port") == "--grpc-server-port"


def test_a_setting_that_there_is_not_is_a_mistake_of_the_caller_s() -> None:
    with pytest.raises(TypeError, match="there is no setting http_prot"):
        load_settings({}, http_prot="1")


@pytest.mark.parametrize("nothing", ["", " ", "\n", "\t \r\n"])
def test_an_empty_variable_counts_as_not_set(nothing: str) -> None:
    assert values(load_settings(dict.fromkeys(VARIABLES, nothing))) == values(load_settings({}))


def test_blanks_around_a_variable_are_no_part_of_it() -> None:
    written = {setting.variable: setting.default_text for setting in SETTINGS if setting.default_text}
    written |= {"GRPC_SERVER_CERT": "/tls/my cert.pem", "GRPC_SERVER_KEY": "k", "HTTP_ALLOWED_ORIGINS": "https://a"}
    padded = {name: f" \t{value}\r\n" for name, value in written.items()}
    assert values(load_settings(padded)) == values(load_settings(written))


def test_a_variable_is_found_only_by_its_exact_name() -> None:
    assert load_settings({"http_port": "1", "Http_Port": "2"}).http_port == 8080


def test_the_environment_of_the_process_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_SERVER_HOST", "echo.example")
    assert load_settings().grpc_server_host == "echo.example"


def test_settings_cannot_be_changed() -> None:
    settings = load_settings({})
    with pytest.raises(AttributeError, match="http_port"):
        settings.http_port = 1
    assert settings.changed(http_port=1).http_port == 1
    assert settings.http_port == 8080


@pytest.mark.parametrize(
    ("variable", "text", "fault"),
    [
        ("SHUTDOWN_GRACE", "9" * 5000 + "s", NO_DURATION),
        ("SHUTDOWN_GRACE", "0." + "0" * 5000 + "s", NO_DURATION),
        ("GRPC_MAX_MESSAGE_SIZE", "9" * 5000 + "MiB", NO_SIZE),
        ("HTTP_PORT", "0" * 5000, "is not a port (0 to 65535)"),
        ("GRPC_SERVER_HOST", "a" + ",a" * 64, "lists too many servers (at most 64)"),
        ("GRPC_SERVER_HOST", "[::1]:" + "1" * 5000, f"is not {A_SERVER}"),
        ("GRPC_MAX_CONCURRENT_STREAMS", "9" * 5000, "is not a whole number from 1 to 1000000"),
        ("HTTP_BIND", "a." * 127 + "a", "is not a host name or an IP address"),
        ("HTTP_BIND", "fe80::1%\0", "is not a host name or an IP address"),
    ],
)
def test_an_outlandish_value_is_refused_like_any_other(variable: str, text: str, fault: str) -> None:
    assert refusal({variable: text}).endswith(f" {fault}")


def test_a_long_value_is_cut_in_the_error() -> None:
    line = refusal({"SHUTDOWN_GRACE": "x" * 10_000})
    assert line.startswith("SHUTDOWN_GRACE: 'xxxx")
    assert len(line) < 200


def test_every_setting_is_described_with_its_variable_flag_default_and_user() -> None:
    described = {setting.field: setting for setting in SETTINGS}
    assert len(described) == len(SETTINGS) == 52
    assert all(setting.help for setting in SETTINGS)
    for setting in SETTINGS:
        assert setting.variable == setting.field.upper()
        assert setting.flag == "--" + setting.field.replace("_", "-")
    assert described["grpc_server_keepalive_time"].default_text == "2h"
    assert described["grpc_max_message_size"].default_text == "4MiB"
    assert described["grpc_server_tls"].default_text == "false"
    assert described["grpc_client_ca"].default_text == ""
    assert described["grpc_server_max_connection_age"].default_text == "off"
    assert described["grpc_stream_window"].default_text == "64KiB"
    assert described["grpc_server_bind"].used_by is User.SERVER
    assert described["http_port"].used_by is User.GATEWAY
    assert described["shutdown_grace"].used_by is User.BOTH
    assert described["access_log"].used_by is User.BOTH
    assert described["http_ping_interval"].default_text == "27s"


def test_settings_are_listed_by_what_they_are_about() -> None:
    titles = [title for title, _ in groupby(setting.title for setting in SETTINGS)]
    assert titles == [
        "Listening",
        "Calling the gRPC server",
        "TLS",
        "Keepalive",
        "Connection lifetime",
        "Limits",
        "Floods and stalled peers",
        "Processes",
        "Shutdown",
        "Logging",
        "Scripting",
        "Services for other test clients",
    ]


def test_the_defaults_as_described_are_the_defaults() -> None:
    written = {setting.variable: setting.default_text for setting in SETTINGS if setting.default_text}
    assert len(written) > 15
    assert values(load_settings(written)) == values(load_settings({}))


@given(st.integers(min_value=0, max_value=292 * 365 * 86400 * 10**9))
@example(0)
@example(1)
@example(292 * 365 * 86400 * 10**9)
def test_a_duration_written_out_reads_as_the_same_duration(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    assert to_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (5400, "1h30m"),
        (90.25, "1m30s250ms"),
        (3e-9, "3ns"),
        (2e-6, "2us"),
        (7200, "2h"),
    ],
)
def test_a_duration_is_written_as_go_would_without_empty_parts(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from([("h", 3600), ("m", 60), ("s", 1), ("ms", 0.001)])),
        min_size=1,
        max_size=4,
    )
)
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, tuple[str, float]]]) -> None:
    text = "".join(f"{count}{unit}" for count, (unit, _) in parts)
    expected = sum(count * seconds for count, (_, seconds) in parts)
    if expected <= 292 * 365 * 86400:
        assert to_duration(text) == pytest.approx(expected)


@given(st.integers(min_value=1, max_value=2**32 - 1))
@example(1000)
@example(1024)
@example(4 * 2**20)
def test_a_size_written_out_reads_as_the_same_size(size: int) -> None:
    assert to_size(format_size(size)) == size
    assert to_size(str(size)) == size


@given(
    st.dictionaries(
        st.sampled_from(VARIABLES),
        st.text() | st.from_regex(re.compile(r"[-+0-9.]{0,6000}(h|m|s|ms|MiB|)|[a-z]+://[^\s]*"), fullmatch=True),
        min_size=1,
        max_size=3,
    )
)
def test_no_text_whatever_raises_anything_but_one_line(environ: dict[str, str]) -> None:
    fault = refusal_or_none(environ)
    assert fault is None or (fault.isprintable() and fault.partition(": ")[0] in environ)


@given(st.sampled_from([setting.field for setting in SETTINGS]), st.text())
def test_no_text_of_a_flag_raises_anything_but_one_line(field: str, text: str) -> None:
    fault = refusal_or_none({}, **{field: text})
    assert fault is None or fault.startswith(f"--{field.replace('_', '-')}: ")


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


@pytest.mark.parametrize("text", ["-1", "0", "two", "1.5", "1001"])
def test_workers_that_are_no_number_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^WORKERS: '{text}' is not a whole number from 1 to 1000, or auto$"):
        load_settings({"WORKERS": text})
