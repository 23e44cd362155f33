"""What settings refuse, each fault in one line that names it: values, and settings that contradict one another."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.settings import SETTINGS, SettingsError, load_settings
from tests.support.settings import VARIABLES, refusal

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


def refusal_or_none(environ: dict[str, str], **flags: str) -> str | None:
    try:
        load_settings(environ, **flags)
    except SettingsError as error:
        return str(error)
    return None


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
        ("HTTP_BIND", "\u00bd", "is not a host name or an IP address"),  # In IDNA 2003 it was.
    ],
)
def test_an_outlandish_value_is_refused_like_any_other(variable: str, text: str, fault: str) -> None:
    assert refusal({variable: text}).endswith(f" {fault}")


def test_a_long_value_is_cut_in_the_error() -> None:
    line = refusal({"SHUTDOWN_GRACE": "x" * 10_000})
    assert line.startswith("SHUTDOWN_GRACE: 'xxxx")
    assert len(line) < 200


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


@pytest.mark.parametrize("text", ["-1", "0", "two", "1.5", "1001"])
def test_workers_that_are_no_number_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^WORKERS: '{text}' is not a whole number from 1 to 1000, or auto$"):
        load_settings({"WORKERS": text})


@pytest.mark.parametrize("name", ["HTTP_ALLOWED_ORIGINS", "GRPC_SERVER_HOST"])
def test_a_long_entry_of_a_list_is_cut(name: str) -> None:
    assert len(refusal({name: f"a,{'/' * 10_000}"})) < 300
