"""How variables and flags become settings, what each is when nothing is given, and how it is described."""

import math
from itertools import groupby

import pytest

from echo.settings import SETTINGS, User, load_settings
from tests.support.settings import VARIABLES, refusal, values


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
        "http_max_connection_idle": 620.0,
        "workers": 1,
        "shutdown_grace": 10.0,
        "log_level": "info",
        "log_format": "auto",
        "access_log": True,
        "echo_scripting": True,
        "echo_interop": False,
    }


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


def test_every_setting_is_described_with_its_variable_flag_default_and_user() -> None:
    described = {setting.field: setting for setting in SETTINGS}
    assert len(described) == len(SETTINGS) == 53
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
