"""The one table of all settings: name, form, default, help, and who uses it, and which of them exclude one another."""

import math
from enum import Flag, auto
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PrivateAttr, model_validator

from echo.settings import addresses, values
from echo.settings.environment import Note

__all__ = ["ContradictionError", "Settings", "User", "name_of"]

_T = TypeVar("_T")

KIB, MIB = 2**10, 2**20
# Less than HTTP/2's own default of 65,535 bytes a peer can't be told for the connection (RFC 9113 §6.9.2), and more
# than 31 bits hold is no window (§6.9.1).
_WINDOW = partial(values.to_size, least=64 * KIB, most=2**31 - 1, of="a window")
# A call of gRPC has a few hundred bytes of headers, and a token in them can have a few thousand.
_HEADERS = partial(values.to_size, least=4 * KIB, most=16 * MIB, of="a list of headers")
_STREAMS = partial(values.to_count, least=1, most=1_000_000)
# Other gRPC clients ping with data, to measure the bandwidth; they must not be taken for attackers.
_BURST = partial(values.to_count, least=100, most=1_000_000_000)
_RATE = partial(values.to_count, least=10, most=1_000_000_000)
# Less than a round trip of the line would keep everybody out.
_PATIENCE = partial(values.to_positive_duration, least=1.0)
_AGE = partial(values.to_duration_or_off, least=1.0)

Port = Annotated[int, BeforeValidator(addresses.to_port)]
Host = Annotated[str, BeforeValidator(addresses.to_host)]
Bind = Annotated[str, BeforeValidator(addresses.to_bind)]
Servers = Annotated[str, BeforeValidator(addresses.to_servers)]
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
    """Which of the two programs a setting is for."""

    SERVER = auto()
    GATEWAY = auto()
    BOTH = SERVER | GATEWAY


class ContradictionError(ValueError):
    """Two settings that exclude one another; raised inside the model, turned into a `SettingsError` outside.

    Args:
        field: The setting to be named first.
        text: What is wrong with it; other settings stand in it as ``{field}``.
    """

    def __init__(self, field: str, text: str) -> None:
        super().__init__(field, text)
        self.field = field
        self.text = text


def _setting(default: _T, used_by: User, help_text: str, *, size: bool = False) -> _T:
    """Declare a field of `Settings` with what `SETTINGS` shall tell about it; a size is told with its unit."""
    extra: dict[str, JsonValue] = {"used_by": used_by.value, "size": size}
    field: _T = Field(default, description=help_text, json_schema_extra=extra)
    return field


_S, _G, _B = User.SERVER, User.GATEWAY, User.BOTH


class Settings(BaseModel):
    """What server and gateway are told from outside; immutable. An attribute is its variable in lower case.

    Durations are in seconds, infinity for ``off``; sizes are in bytes. Made directly it takes no notice of the
    environment, and raises pydantic's `ValidationError`; `load_settings` is the usual way in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grpc_server_port: Port = _setting(
        8081, _B, "port the gRPC server listens on, and the gateway calls; 0 for a free one"
    )
    grpc_server_bind: Bind = _setting(
        "0.0.0.0",  # noqa: S104 - As documented.
        _S,
        "address the gRPC server listens on; or unix:PATH, a socket for clients on the same machine",
    )
    grpc_server_socket_mode: Mode | None = _setting(
        None, _S, "permissions of that socket, such as 660; else what the process's umask leaves"
    )
    grpc_health_port: Port | None = _setting(
        None, _S, "a further port, in plain text, for grpc.health.v1 alone: kubelet's gRPC probe speaks no TLS"
    )
    grpc_server_host: Servers = _setting(
        "localhost",
        _G,
        "the gRPC server that the gateway calls: HOST, HOST:PORT or unix:PATH; several, alike, by commas",
    )
    grpc_server_keepalive: Switch = _setting(
        False, _S, "let the server ping idle connections, and clients ping it more often"
    )
    grpc_server_keepalive_time: PositiveSeconds = _setting(7200.0, _S, "silence after which the server pings")
    grpc_server_keepalive_timeout: PositiveSeconds = _setting(
        20.0, _S, "how long the server waits for the answer to a ping"
    )
    grpc_server_min_ping_interval: Seconds | None = _setting(
        None,
        _S,
        "how often clients may ping a server that has nothing to tell them, else it says too_many_pings; "
        "5m if not set, 5s with GRPC_SERVER_KEEPALIVE",
    )
    grpc_server_max_connection_idle: Age = _setting(math.inf, _S, "how long a connection without calls is kept, or off")
    grpc_server_max_connection_age: Age = _setting(
        math.inf, _S, "how long a connection is kept at all, give or take a tenth, or off; clients then connect anew"
    )
    grpc_server_max_connection_age_grace: SecondsOrOff = _setting(
        math.inf, _S, "how long its calls may go on then, or off for as long as they like"
    )
    grpc_server_handshake_timeout: Patience = _setting(
        20.0, _S, "how long a client may take to begin to speak HTTP/2, by TLS or plain"
    )
    grpc_server_write_timeout: Patience = _setting(
        20.0, _S, "how long a client may read nothing while data is waiting; a slow one that reads is kept"
    )
    grpc_server_window_timeout: Patience = _setting(
        300.0, _S, "how long a call may wait for its client to open a flow-control window; then it is cancelled"
    )
    grpc_server_flood_burst: Burst = _setting(
        1_000, _S, "how many frames of the kinds that floods are made of (resets, pings, ...) may come at once"
    )
    grpc_server_flood_rate: Rate = _setting(100, _S, "how many of them a second may come for ever")
    grpc_server_cert: File | None = _setting(None, _S, "the server's certificate chain (PEM); turns TLS on")
    grpc_server_key: File | None = _setting(None, _S, "private key of the server's certificate (PEM)")
    grpc_server_client_ca: File | None = _setting(
        None, _S, "authorities (PEM) whose certificates clients must show: mTLS"
    )
    grpc_server_tls: Switch = _setting(False, _G, "call the gRPC server over TLS")
    grpc_client_ca: File | None = _setting(None, _G, "authorities (PEM) to verify the server by; else the system's")
    grpc_client_cert: File | None = _setting(None, _G, "the gateway's own certificate chain (PEM), for mTLS")
    grpc_client_key: File | None = _setting(None, _G, "private key of the gateway's own certificate (PEM)")
    grpc_client_server_name: Host | None = _setting(
        None, _G, "name the server's certificate must have; else the host called"
    )
    grpc_client_insecure: Switch = _setting(False, _G, "call over TLS without verifying the server")
    grpc_client_balance: Balance = _setting(
        "pick_first",
        _G,
        "which of several servers, or addresses of one, to call: pick_first, the first that answers; round_robin, "
        "all in turn that say they serve",
    )
    grpc_client_keepalive: Switch = _setting(False, _G, "let the gateway ping the gRPC server")
    grpc_client_keepalive_time: PositiveSeconds = _setting(10.0, _G, "silence after which the gateway pings")
    grpc_client_keepalive_timeout: PositiveSeconds = _setting(
        20.0, _G, "how long the gateway waits for the answer to a ping"
    )
    grpc_client_timeout: PositiveSeconds = _setting(15.0, _G, "deadline of a unary call through the gateway")
    grpc_max_message_size: Size = _setting(4 * MIB, _B, "largest gRPC message sent or taken", size=True)
    grpc_max_concurrent_streams: Streams = _setting(100, _B, "calls that run at once on one connection")
    grpc_max_header_list_size: HeaderSize = _setting(16 * KIB, _B, "largest list of header fields taken", size=True)
    grpc_stream_window: Window = _setting(
        64 * KIB,
        _B,
        "what a peer may send in one call before it is read; more is faster over long distances",
        size=True,
    )
    grpc_connection_window: Window = _setting(
        1 * MIB, _B, "what a peer may have on its way to us, over all calls of a connection", size=True
    )
    http_port: Port = _setting(8080, _G, "port the gateway listens on; 0 for a free one")
    http_bind: Host = _setting("0.0.0.0", _G, "address the gateway listens on")  # noqa: S104 - As documented.
    http_cert: File | None = _setting(None, _G, "the gateway's certificate chain (PEM); turns TLS on: https and wss")
    http_key: File | None = _setting(None, _G, "private key of the gateway's certificate (PEM)")
    http_allowed_origins: Origins = _setting(
        (), _G, "origins, comma-separated, whose pages may open WebSockets and make calls; * for any"
    )
    shutdown_grace: Seconds = _setting(10.0, _B, "how long running calls may go on after SIGTERM")
    log_level: LogLevel = _setting("info", _B, f"least serious event to log: {', '.join(values.LOG_LEVELS)}")
    log_format: LogFormat = _setting(
        "auto", _B, f"{', '.join(values.LOG_FORMATS)}; auto is console on a terminal, else JSON"
    )

    _from_flags: frozenset[str] = PrivateAttr(default=frozenset())
    _notes: tuple[Note, ...] = PrivateAttr(default=())

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a person should hear about the environment they came from."""
        return self._notes

    def name_of(self, field: str) -> str:
        """The name of a setting for a person: its flag if its value was given by that, else its variable."""
        return name_of(field, self._from_flags)

    def note_origin(self, flags: frozenset[str], notes: tuple[Note, ...]) -> None:
        """Say which settings were given by a flag, for `name_of`, and what there is to say of the others."""
        self._from_flags, self._notes = flags, notes

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        """Refuse what would else be ignored in silence, above all a TLS setting while TLS is off."""
        for end in ("grpc_server", "grpc_client", "http"):
            cert, key = f"{end}_cert", f"{end}_key"
            for one, other in ((cert, key), (key, cert)):
                if getattr(self, one) and not getattr(self, other):
                    raise ContradictionError(one, f"needs {{{other}}} beside it")
        if self.grpc_server_client_ca and not self.grpc_server_cert:
            raise ContradictionError("grpc_server_client_ca", "needs {grpc_server_cert} beside it")
        if not self.grpc_server_tls:
            for field in ("ca", "cert", "server_name", "insecure"):
                if getattr(self, f"grpc_client_{field}"):
                    raise ContradictionError(
                        f"grpc_client_{field}", "has a meaning only when {grpc_server_tls} is true"
                    )
        if self.grpc_client_insecure and self.grpc_client_ca:
            raise ContradictionError(
                "grpc_client_insecure", "contradicts {grpc_client_ca}: verify by it, or not at all"
            )
        if self.grpc_stream_window > self.grpc_connection_window:
            raise ContradictionError("grpc_stream_window", "can't be more than {grpc_connection_window}")
        if self.grpc_server_max_connection_age_grace != math.inf == self.grpc_server_max_connection_age:
            raise ContradictionError(
                "grpc_server_max_connection_age_grace", "needs {grpc_server_max_connection_age} beside it"
            )
        if self.grpc_server_socket_mode is not None and not self.grpc_server_bind.startswith(addresses.UNIX):
            raise ContradictionError(
                "grpc_server_socket_mode", "has a meaning only when {grpc_server_bind} is unix:PATH"
            )
        return self


def name_of(field: str, flags: frozenset[str]) -> str:
    """The name of a setting for a person: its flag if it is among those given by flags, else its variable."""
    return f"--{field.replace('_', '-')}" if field in flags else field.upper()
