"""The table of all settings: name, type, default, help, the programs that use it, and which settings contradict."""

import math
from enum import Enum, Flag, auto
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PrivateAttr, model_validator

from echo.settings import addresses, values
from echo.settings.environment import Note
from echo.targets import UNIX

__all__ = ["ContradictionError", "Group", "Settings", "User", "name_of"]

_T = TypeVar("_T")

KIB, MIB = 2**10, 2**20
# A connection's window cannot be below HTTP/2's default of 65,535 bytes (RFC 9113 §6.9.2) or exceed 31 bits (§6.9.1).
_WINDOW = partial(values.to_size, least=64 * KIB, most=2**31 - 1, of="a window")
# A gRPC call has a few hundred bytes of headers, and a token among them may take a few thousand.
_HEADERS = partial(values.to_size, least=4 * KIB, most=16 * MIB, of="a list of headers")
_STREAMS = partial(values.to_count, least=1, most=1_000_000)
# Other gRPC clients send pings with their data to measure bandwidth; that must not count as an attack.
_BURST = partial(values.to_count, least=100, most=1_000_000_000)
_RATE = partial(values.to_count, least=10, most=1_000_000_000)
# A timeout shorter than a round trip would keep everybody out.
_PATIENCE = partial(values.to_positive_duration, least=1.0)
_AGE = partial(values.to_duration_or_off, least=1.0)

Port = Annotated[int, BeforeValidator(addresses.to_port)]
Host = Annotated[str, BeforeValidator(addresses.to_host)]
Bind = Annotated[str, BeforeValidator(addresses.to_bind)]
Authority = Annotated[str, BeforeValidator(addresses.to_authority)]
Servers = Annotated[str, BeforeValidator(addresses.to_servers)]
Workers = Annotated[int, BeforeValidator(values.to_workers)]
Mode = Annotated[int, BeforeValidator(values.to_mode)]
Switch = Annotated[bool, BeforeValidator(values.to_bool)]
Seconds = Annotated[float, BeforeValidator(values.to_duration)]
PositiveSeconds = Annotated[float, BeforeValidator(values.to_positive_duration)]
SecondsOrOff = Annotated[float, BeforeValidator(values.to_duration_or_off)]
Patience = Annotated[float, BeforeValidator(_PATIENCE)]
Age = Annotated[float, BeforeValidator(_AGE)]
Size = Annotated[int, BeforeValidator(values.to_size)]
Window = Annotated[int, BeforeValidator(_WINDOW)]
HeaderSize = Annotated[int, BeforeValidator(_HEADERS)]
Streams = Annotated[int, BeforeValidator(_STREAMS)]
Burst = Annotated[int, BeforeValidator(_BURST)]
Rate = Annotated[int, BeforeValidator(_RATE)]
File = Annotated[Path, BeforeValidator(addresses.to_path)]
Origins = Annotated[tuple[str, ...], BeforeValidator(addresses.to_origins)]
Balance = Annotated[Literal["pick_first", "round_robin"], BeforeValidator(values.to_balance)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(values.to_log_level)]
LogFormat = Annotated[Literal["auto", "console", "json"], BeforeValidator(values.to_log_format)]


class User(Flag):
    """The programs that use a setting."""

    SERVER = auto()
    GATEWAY = auto()
    BOTH = SERVER | GATEWAY


class Group(Enum):
    """Groups of settings, in the order in which help and documentation list them."""

    LISTENING = "Listening"
    CALLING = "Calling the gRPC server"
    TLS = "TLS"
    KEEPALIVE = "Keepalive"
    LIFETIME = "Connection lifetime"
    LIMITS = "Limits"
    FLOODS = "Floods and stalled peers"
    PROCESSES = "Processes"
    SHUTDOWN = "Shutdown"
    LOGGING = "Logging"
    SCRIPTING = "Scripting"
    INTEROP = "Services for other test clients"


class ContradictionError(ValueError):
    """Two settings contradict each other. Raised inside the model; `load_settings` turns it into a `SettingsError`.

    Args:
        field: The setting to name first.
        text: The problem; ``{field}`` stands for another setting's name.
    """

    def __init__(self, field: str, text: str) -> None:
        super().__init__(field, text)
        self.field = field
        self.text = text


def _setting(group: Group, default: _T, used_by: User, help_text: str, *, size: bool = False) -> _T:
    """Declare a field of `Settings` with its entry in `SETTINGS`; a ``size`` is shown with a unit."""
    extra: dict[str, JsonValue] = {"group": group.value, "used_by": used_by.value, "size": size}
    field: _T = Field(default, description=help_text, json_schema_extra=extra)
    return field


_S, _G, _B = User.SERVER, User.GATEWAY, User.BOTH
(
    _LISTENING, _CALLING, _TLS, _KEEPALIVE, _LIFETIME, _LIMITS, _FLOODS, _PROCESSES, _SHUTDOWN, _LOGGING, _SCRIPTING,
    _INTEROP,
) = Group  # fmt: skip


class Settings(BaseModel):
    """The settings of server and gateway; immutable. An attribute's name is its variable's in lower case.

    Durations are in seconds, infinity for ``off``; sizes are in bytes. `load_settings` is the usual way to create them;
    the constructor ignores the environment and raises pydantic's `ValidationError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grpc_server_port: Port = _setting(
        _LISTENING, 8081, _B, "port the gRPC server listens on and the gateway calls; 0 picks a free one"
    )
    grpc_server_bind: Bind = _setting(
        _LISTENING,
        "0.0.0.0",  # noqa: S104 - As documented.
        _S,
        "address the gRPC server listens on, or unix:PATH for a Unix socket",
    )
    grpc_server_socket_mode: Mode | None = _setting(
        _LISTENING, None, _S, "permissions of that socket, such as 660; by default the umask decides"
    )
    grpc_health_port: Port | None = _setting(
        _LISTENING,
        None,
        _S,
        "extra plain-text port that serves only health checks; kubelet's gRPC probe does not speak TLS",
    )
    http_port: Port = _setting(_LISTENING, 8080, _G, "port the gateway listens on; 0 picks a free one")
    http_bind: Host = _setting(
        _LISTENING,
        "0.0.0.0",  # noqa: S104 - As documented.
        _G,
        "address the gateway listens on",
    )
    metrics_port: Port | None = _setting(
        _LISTENING, None, _B, "port that serves /metrics for Prometheus; off if not set, 0 picks a free one"
    )
    metrics_bind: Host = _setting(
        _LISTENING,
        "0.0.0.0",  # noqa: S104 - As documented.
        _B,
        "address that /metrics is served on",
    )
    http_allowed_origins: Origins = _setting(
        _LISTENING,
        (),
        _G,
        "origins whose pages may open WebSockets and make calls, separated by commas, or * for any; "
        "by default only the gateway's own",
    )
    grpc_server_host: Servers = _setting(
        _CALLING,
        "localhost",
        _G,
        "gRPC server the gateway calls: HOST, HOST:PORT, unix:PATH or another of gRPC's forms; separate several with "
        "commas",
    )
    grpc_client_balance: Balance = _setting(
        _CALLING,
        "pick_first",
        _G,
        "how to choose among several servers or addresses: pick_first takes the first that answers, round_robin "
        "rotates among those that report SERVING",
    )
    grpc_client_authority: Authority | None = _setting(
        _CALLING,
        None,
        _G,
        "the gRPC server's name in requests (:authority) and in its TLS certificate; by default the host called",
    )
    grpc_client_timeout: PositiveSeconds = _setting(
        _CALLING, 15.0, _G, "deadline of unary calls made through the gateway, unless the client sets one"
    )
    grpc_server_cert: File | None = _setting(_TLS, None, _S, "the gRPC server's certificate chain (PEM); turns on TLS")
    grpc_server_key: File | None = _setting(_TLS, None, _S, "private key for the gRPC server's certificate (PEM)")
    grpc_server_client_ca: File | None = _setting(
        _TLS, None, _S, "CAs (PEM) that clients' certificates must be signed by; turns on mTLS"
    )
    http_cert: File | None = _setting(_TLS, None, _G, "the gateway's certificate chain (PEM); turns on https and wss")
    http_key: File | None = _setting(_TLS, None, _G, "private key for the gateway's certificate (PEM)")
    grpc_server_tls: Switch = _setting(_TLS, False, _G, "call the gRPC server over TLS")
    grpc_client_ca: File | None = _setting(
        _TLS, None, _G, "CAs (PEM) to verify the gRPC server with; by default the system's"
    )
    grpc_client_cert: File | None = _setting(
        _TLS, None, _G, "certificate chain (PEM) the gateway presents to the gRPC server, for mTLS"
    )
    grpc_client_key: File | None = _setting(_TLS, None, _G, "private key for that certificate (PEM)")
    grpc_client_server_name: Host | None = _setting(
        _TLS, None, _G, "name the gRPC server's certificate must have; by default the authority or the host called"
    )
    grpc_client_insecure: Switch = _setting(_TLS, False, _G, "call over TLS without verifying the server's certificate")
    grpc_server_keepalive: Switch = _setting(
        _KEEPALIVE, False, _S, "let the server ping idle connections, and let clients ping more often"
    )
    grpc_server_keepalive_time: PositiveSeconds = _setting(
        _KEEPALIVE, 7200.0, _S, "how long a client may be silent before the server pings it"
    )
    grpc_server_keepalive_timeout: PositiveSeconds = _setting(
        _KEEPALIVE, 20.0, _S, "how long the server waits for the reply to a ping"
    )
    grpc_server_min_ping_interval: Seconds | None = _setting(
        _KEEPALIVE,
        None,
        _S,
        "least time between a client's pings while the server sends it nothing, enforced by too_many_pings; "
        "5m if not set, 5s with GRPC_SERVER_KEEPALIVE",
    )
    grpc_client_keepalive: Switch = _setting(_KEEPALIVE, False, _G, "let the gateway ping the gRPC server")
    grpc_client_keepalive_time: PositiveSeconds = _setting(
        _KEEPALIVE, 10.0, _G, "how long the gRPC server may be silent before the gateway pings it"
    )
    grpc_client_keepalive_timeout: PositiveSeconds = _setting(
        _KEEPALIVE, 20.0, _G, "how long the gateway waits for the reply to a ping"
    )
    http_ping_interval: Age = _setting(
        _KEEPALIVE, 27.0, _G, "how often WebSockets are pinged; off shows a path's own idle timeouts"
    )
    grpc_server_max_connection_idle: Age = _setting(
        _LIFETIME, math.inf, _S, "close connections that have had no calls for this long, or off"
    )
    grpc_server_max_connection_age: Age = _setting(
        _LIFETIME,
        math.inf,
        _S,
        "close connections at this age, give or take a tenth, so that clients reconnect; or off",
    )
    grpc_server_max_connection_age_grace: SecondsOrOff = _setting(
        _LIFETIME, math.inf, _S, "how long their calls may go on after that; off for no limit"
    )
    grpc_max_message_size: Size = _setting(_LIMITS, 4 * MIB, _B, "largest gRPC message sent or accepted", size=True)
    grpc_max_concurrent_streams: Streams = _setting(_LIMITS, 100, _B, "most calls at a time on one connection")
    grpc_max_header_list_size: HeaderSize = _setting(_LIMITS, 16 * KIB, _B, "largest header list accepted", size=True)
    grpc_stream_window: Window = _setting(
        _LIMITS,
        64 * KIB,
        _B,
        "how much a peer may send on one call before it is read; larger is faster over long distances",
        size=True,
    )
    grpc_connection_window: Window = _setting(
        _LIMITS, 1 * MIB, _B, "how much a peer may have in flight on one connection, over all its calls", size=True
    )
    grpc_server_handshake_timeout: Patience = _setting(
        _FLOODS, 20.0, _S, "how long a client may take to start speaking HTTP/2, with or without TLS"
    )
    grpc_server_write_timeout: Patience = _setting(
        _FLOODS, 20.0, _S, "how long a client may read nothing while data is waiting; slow readers are kept"
    )
    grpc_server_window_timeout: Patience = _setting(
        _FLOODS,
        300.0,
        _S,
        "how long a call may wait for its client to open the flow-control window before it is cancelled",
    )
    grpc_server_flood_burst: Burst = _setting(
        _FLOODS, 1_000, _S, "how many frames of the kinds used in floods (resets, pings, ...) a client may send at once"
    )
    grpc_server_flood_rate: Rate = _setting(_FLOODS, 100, _S, "the sustained rate of such frames per second")
    workers: Workers = _setting(
        _PROCESSES, 1, _B, "how many processes serve: a number, or auto for one on each CPU; serve and gateway only"
    )
    shutdown_grace: Seconds = _setting(_SHUTDOWN, 10.0, _B, "how long running calls may go on after SIGTERM or SIGINT")
    log_level: LogLevel = _setting(
        _LOGGING, "info", _B, "least severe events to log: debug, info, warning, error, critical"
    )
    log_format: LogFormat = _setting(
        _LOGGING, "auto", _B, "console, json or auto; auto is console on a terminal, JSON lines elsewhere"
    )
    access_log: Switch = _setting(_LOGGING, True, _B, "log each call, request and WebSocket")
    echo_scripting: Switch = _setting(
        _SCRIPTING, True, _B, "let callers script what a call is like and have it recorded, by x-echo-... metadata"
    )
    echo_interop: Switch = _setting(
        _INTEROP, False, _S, "serve gRPC's interoperability tests and the Gateway API's conformance tests as well"
    )

    _from_flags: frozenset[str] = PrivateAttr(default=frozenset())
    _notes: tuple[Note, ...] = PrivateAttr(default=())

    @property
    def notes(self) -> tuple[Note, ...]:
        """Remarks about the environment that the settings were read from."""
        return self._notes

    def name_of(self, field: str) -> str:
        """The name of a setting for messages: its flag if the flag was given, else its variable."""
        return name_of(field, self._from_flags)

    def note_origin(self, flags: frozenset[str], notes: tuple[Note, ...]) -> None:
        """Record which settings were given as flags, for `name_of`, and the remarks about the environment."""
        self._from_flags, self._notes = flags, notes

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        """Refuse settings that would otherwise be silently ignored, above all TLS settings while TLS is off."""
        for end in ("grpc_server", "grpc_client", "http"):
            cert, key = f"{end}_cert", f"{end}_key"
            for one, other in ((cert, key), (key, cert)):
                if getattr(self, one) and not getattr(self, other):
                    raise ContradictionError(one, f"needs {{{other}}} as well")
        if self.grpc_server_client_ca and not self.grpc_server_cert:
            raise ContradictionError("grpc_server_client_ca", "needs {grpc_server_cert} as well")
        if not self.grpc_server_tls:
            for field in ("ca", "cert", "server_name", "insecure"):
                if getattr(self, f"grpc_client_{field}"):
                    raise ContradictionError(f"grpc_client_{field}", "only applies when {grpc_server_tls} is true")
        if self.grpc_client_insecure and self.grpc_client_ca:
            raise ContradictionError("grpc_client_insecure", "contradicts {grpc_client_ca}: set one or the other")
        if self.grpc_stream_window > self.grpc_connection_window:
            raise ContradictionError("grpc_stream_window", "can't be more than {grpc_connection_window}")
        if self.grpc_server_max_connection_age_grace != math.inf == self.grpc_server_max_connection_age:
            raise ContradictionError(
                "grpc_server_max_connection_age_grace", "needs {grpc_server_max_connection_age} as well"
            )
        if self.grpc_server_socket_mode is not None and not self.grpc_server_bind.startswith(UNIX):
            raise ContradictionError("grpc_server_socket_mode", "only applies when {grpc_server_bind} is unix:PATH")
        return self


def name_of(field: str, flags: frozenset[str]) -> str:
    """The name of a setting for messages: its flag if that was given, else its variable."""
    return f"--{field.replace('_', '-')}" if field in flags else field.upper()
