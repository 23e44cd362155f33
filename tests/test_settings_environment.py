"""The environment around the settings: variables that Kubernetes sets for Services, and misspelt names."""

import pytest

from echo.gateway.environment import EnvironmentApp
from echo.settings import SETTINGS, Settings, SettingsError, User, load_settings

IPV4, IPV6 = "10.0.0.1", "[fd00::1]"


def service(name: str, port: int, host: str = IPV4, protocol: str = "tcp") -> dict[str, str]:
    """What Kubernetes sets in every pod of the namespace for a Service."""
    prefix = name.upper().replace("-", "_")
    link, one = f"{protocol}://{host}:{port}", f"{prefix}_PORT_{port}_{protocol.upper()}"
    return {
        f"{prefix}_SERVICE_HOST": host.strip("[]"),
        f"{prefix}_SERVICE_PORT": str(port),
        f"{prefix}_SERVICE_PORT_GRPC": str(port),
        f"{prefix}_PORT": link,
        one: link,
        f"{one}_PROTO": protocol,
        f"{one}_PORT": str(port),
        f"{one}_ADDR": host.strip("[]"),
    }


def notes(settings: Settings, level: str) -> list[str]:
    return [note.text for note in settings.notes if note.level == level]


@pytest.mark.parametrize("host", [IPV4, IPV6])
def test_a_gateway_calls_the_port_of_a_service_named_like_the_server(host: str) -> None:
    settings = load_settings(service("grpc-server", 9090, host), User.GATEWAY)
    assert settings.grpc_server_port == 9090
    assert notes(settings, "info") == [
        f"GRPC_SERVER_PORT=tcp://{host}:9090 was set by Kubernetes for its Service grpc-server: calling port 9090"
    ]


@pytest.mark.parametrize("user", [User.SERVER, User.BOTH])
def test_a_server_does_not_listen_on_the_port_of_its_service(user: User) -> None:
    settings = load_settings(service("grpc-server", 80), user)
    assert settings.grpc_server_port == 8081
    (note,) = notes(settings, "info")
    assert note == (
        "GRPC_SERVER_PORT=tcp://10.0.0.1:80 was set by Kubernetes for its Service grpc-server: ignored"
        " (enableServiceLinks: false keeps it out)"
    )


@pytest.mark.parametrize("user", User)
@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
@pytest.mark.parametrize(
    "name", sorted({one.variable.removesuffix("_PORT") for one in SETTINGS if one.variable.endswith("_PORT")})
)
def test_no_service_keeps_a_program_from_starting_or_moves_where_it_listens(
    user: User, protocol: str, name: str
) -> None:
    settings = load_settings(service(name, 5000, protocol=protocol), user)
    if (user, protocol, name) != (User.GATEWAY, "tcp", "GRPC_SERVER"):
        assert {**vars(settings), "notes": ()} == vars(load_settings({}))
    assert not notes(settings, "warning")


def test_a_flag_wins_over_what_kubernetes_sets() -> None:
    settings = load_settings(service("grpc-server", 80), User.GATEWAY, grpc_server_port="1")
    assert (settings.grpc_server_port, settings.notes) == (1, ())


@pytest.mark.parametrize("text", ["tcp://10.0.0.1:80", "udp://10.0.0.1:53", "tcp://a:b"])
def test_such_a_value_from_elsewhere_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^HTTP_PORT: .* is not a port .* enableServiceLinks: false$"):
        load_settings({"HTTP_PORT": text})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GRPC_SERVER_PROT", "GRPC_SERVER_PORT"),
        ("GPRC_SERVER_PORT", "GRPC_SERVER_PORT"),
        ("grpc_server_port", "GRPC_SERVER_PORT"),
        ("GRPC_SERVER_KEEP_ALIVE", "GRPC_SERVER_KEEPALIVE"),
        ("GRPC_MAX_MESAGE_SIZE", "GRPC_MAX_MESSAGE_SIZE"),
        ("HTTP_ALLOWED_ORIGIN", "HTTP_ALLOWED_ORIGINS"),
        ("HTTP_PROT", "HTTP_PORT"),
        ("LOGLEVEL", "LOG_LEVEL"),
    ],
)
def test_a_name_that_is_nearly_a_setting_s_is_pointed_out(name: str, meant: str) -> None:
    settings = load_settings({name: "secret"})
    assert notes(settings, "warning") == [f"{name} is not a setting; did you mean {meant}?"]


# Of gRPC's libraries, of proxies, and of every image.
OTHER_NAMES = """
GRPC_VERBOSITY GRPC_TRACE GRPC_PROXY GRPC_POLL_STRATEGY GRPC_DNS_RESOLVER GRPC_SSL_CIPHER_SUITES
GRPC_DEFAULT_SSL_ROOTS_FILE_PATH GRPC_EXPERIMENTS GRPC_ENABLE_FORK_SUPPORT
GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS GRPC_ALTS_MAX_CONCURRENT_HANDSHAKES GRPC_XDS_BOOTSTRAP
GRPC_GO_LOG_SEVERITY_LEVEL GRPC_GO_LOG_VERBOSITY_LEVEL GRPC_NODE_VERBOSITY GRPC_NODE_TRACE
GRPC_NOT_USE_SYSTEM_SSL_ROOTS GRPC_SYSTEM_SSL_ROOTS_DIR GRPC_ARENA_INIT_STRATEGY GRPC_FAIL_FAST HTTP_PROXY
http_proxy HTTPS_PROXY NO_PROXY HTTP_HOST HTTP_VERSION LOG_FILE LOG_DIR LOGNAME PATH HOME HOSTNAME PORT HOST
POD_NAME NAMESPACE NODE_NAME SERVICE_NAME INGRESS_NAME
""".split()  # noqa: SIM905 - Forty quoted names are hard to read.


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_name_of_somebody_else_s_is_left_alone(name: str) -> None:
    assert load_settings({name: "anything"}).notes == ()


@pytest.mark.parametrize(
    "name", ["grpc-servers", "grpc-client", "http-ports", "https", "log-level", "grpc-server-cert"]
)
def test_nothing_that_kubernetes_sets_for_a_service_of_a_similar_name_is_pointed_out(name: str) -> None:
    assert load_settings(service(name, 8081)).notes == ()


def test_an_environment_full_of_such_names_gives_a_few_notes() -> None:
    assert len(load_settings({f"HTTP_PORT{number}": "1" for number in range(5_000)}).notes) == 10


def test_an_application_under_plain_hypercorn_says_so_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (service("grpc-server", 9090) | {"HTTP_PROT": "1"}).items():
        monkeypatch.setenv(name, value)
    assert EnvironmentApp().gateway.runtime.settings.grpc_server_port == 9090
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "HTTP_PROT is not a setting; did you mean HTTP_PORT?"
    ]
