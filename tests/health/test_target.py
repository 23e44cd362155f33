"""The addresses and URLs that ``echo-grpc health`` accepts, and the server that it asks by default."""

import re

import pytest

from echo.health.environment import OwnServer
from echo.health.target import Web, own_server, parse_address, parse_url
from echo.settings import SETTINGS, SettingsError, User, load_settings
from echo.targets import Target


@pytest.mark.parametrize(
    ("text", "address", "authority"),
    [
        ("a.example.com:443", Target("a.example.com", 443), "a.example.com:443"),
        (":8081", Target("localhost", 8081), "localhost:8081"),
        ("[::1]:8081", Target("::1", 8081), "[::1]:8081"),
        ("unix:/run/echo.sock", Target("/run/echo.sock", None), "localhost"),
        ("unix:///run/echo.sock", Target("/run/echo.sock", None), "localhost"),
    ],
)
def test_valid_addresses_are_parsed(text: str, address: Target, authority: str) -> None:
    assert parse_address(text) == address
    assert address.authority == authority
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:",
        "a:b",
        "a:0",
        "a:65536",
        "::1",
        "[::1]",
        "::1:80",
        "unix:",
        "http://a:1",
        "a/b:1",
        "a:1,b:1",
        "a..b:1",
        "a b:1",
        f"{'x' * 64}:1",
    ],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT or unix:PATH"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "web"),
    [
        ("http://a", Web(Target("a", 80), "/readyz", tls=False)),
        ("https://a/", Web(Target("a", 443), "/readyz", tls=True)),
        ("a:8080", Web(Target("a", 8080), "/readyz", tls=False)),
        ("http://[::1]:8080/healthz", Web(Target("::1", 8080), "/healthz", tls=False)),
        ("https://a:1/x/healthz?y=z", Web(Target("a", 1), "/x/healthz?y=z", tls=True)),
    ],
)
def test_valid_urls_are_parsed(text: str, web: Web) -> None:
    assert parse_url(text) == web


UNSENDABLE = ["http://a/\u00e4", "http://a/?\u00e4", "http://a/ b", "http://a/?b c"]


@pytest.mark.parametrize(
    "text",
    ["", "ws://a", "http://", "http://a:b", "http://a:99999", "http://[", "a..b", *UNSENDABLE],
)
def test_an_invalid_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not http://HOST:PORT or https://HOST:PORT$"):
        parse_url(text)


@pytest.mark.parametrize(
    ("environ", "address", "tls"),
    [
        ({}, Target("127.0.0.1", 8081), False),
        ({"GRPC_SERVER_BIND": "::"}, Target("::1", 8081), False),
        ({"GRPC_SERVER_BIND": "10.0.0.7", "GRPC_SERVER_CERT": "c"}, Target("10.0.0.7", 8081), True),
        ({"GRPC_SERVER_BIND": "unix:/s", "GRPC_SERVER_CERT": "c"}, Target("/s", None), True),
        ({"GRPC_SERVER_BIND": "unix:/s", "GRPC_HEALTH_PORT": "8082"}, Target("127.0.0.1", 8082), False),
        ({"GRPC_HEALTH_PORT": "8082", "GRPC_SERVER_CERT": "c"}, Target("127.0.0.1", 8082), False),
    ],
)
def test_the_environment_says_where_the_server_listens(environ: dict[str, str], address: Target, tls: bool) -> None:
    assert own_server(environ) == (address, tls)


LINKED = {"GRPC_SERVER_PORT": "tcp://10.0.0.1:1", "GRPC_HEALTH_PORT": "tcp://10.0.0.2:2"}
HOSTS = {"GRPC_SERVER_SERVICE_HOST": "10.0.0.1", "GRPC_HEALTH_SERVICE_HOST": "10.0.0.2"}


def test_variables_are_read_as_the_server_reads_them() -> None:
    assert own_server({"GRPC_SERVER_PORT": " 1 ", "GRPC_SERVER_BIND": " ", "GRPC_HEALTH_PORT": ""}) == (
        Target("127.0.0.1", 1),
        False,
    )
    assert own_server(LINKED | HOSTS) == (Target("127.0.0.1", 8081), False), "Kubernetes has set these"
    for environ in (LINKED, {"GRPC_SERVER_BIND": "a b"}, {"GRPC_SERVER_BIND": "unix:"}):
        with pytest.raises(SettingsError) as refused:
            load_settings(environ, User.SERVER)
        with pytest.raises(ValueError, match=re.escape(str(refused.value))):
            own_server(environ)


def test_the_settings_are_the_server_s() -> None:
    fields = {each.field: each for each in SETTINGS}
    for each in OwnServer.settings:
        assert (each.variable, each.kind, each.default) == (
            fields[each.field].variable,
            fields[each.field].kind,
            fields[each.field].default,
        )
    assert {each.title for each in SETTINGS if each.field.startswith("grpc_server_bind")} == {"Listening"}


@pytest.mark.parametrize(
    ("port", "fault"),
    [
        ("x", "'x' is not a port (0 to 65535)"),
        ("65536", "'65536' is not a port (0 to 65535)"),
        ("00000199999", "'00000199999' is not a port (0 to 65535)"),
        ("0", "0 is any free port: name the server's address"),
    ],
)
@pytest.mark.parametrize("variable", ["GRPC_HEALTH_PORT", "GRPC_SERVER_PORT"])
def test_an_invalid_port_in_the_environment_is_named(variable: str, port: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'{variable}: {fault}')}$"):
        own_server({variable: port})
