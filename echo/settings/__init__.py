"""The settings of server and gateway: environment variables, and a flag for each on the command line.

`Settings` is the one table of them all: name, form, default, help, and who uses it. `load_settings` fills it
from an environment and from flags; `SETTINGS` lists it for the command line, which makes its flags from that.
`echo.settings.values` reads the forms. Nothing here touches a file or a socket: whether a certificate can be
read shows in `echo.tls`, whether a port is free when it is opened.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from echo.settings import values

__all__ = ["SETTINGS", "Setting", "Settings", "SettingsError", "User", "load_settings"]

_T = TypeVar("_T")

Port = Annotated[int, BeforeValidator(values.to_port)]
Host = Annotated[str, BeforeValidator(values.to_host)]
Switch = Annotated[bool, BeforeValidator(values.to_bool)]
Seconds = Annotated[float, BeforeValidator(values.to_duration)]
PositiveSeconds = Annotated[float, BeforeValidator(values.to_positive_duration)]
Size = Annotated[int, BeforeValidator(values.to_size)]
File = Annotated[Path, BeforeValidator(values.to_path)]
Origins = Annotated[tuple[str, ...], BeforeValidator(values.to_origins)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(values.to_log_level)]
LogFormat = Annotated[Literal["auto", "console", "json"], BeforeValidator(values.to_log_format)]


class User(Flag):
    """Which of the two programs a setting is for."""

    SERVER = auto()
    GATEWAY = auto()
    BOTH = SERVER | GATEWAY


class SettingsError(Exception):
    """A setting that can't be used. Its text is one line that names the variable or the flag it came from."""


class _ContradictionError(ValueError):
    """Two settings that exclude one another; raised inside the model, turned into a `SettingsError` outside.

    Args:
        field: The setting to be named first.
        text: What is wrong with it; other settings stand in it as ``{field}``.
    """

    def __init__(self, field: str, text: str) -> None:
        super().__init__(field, text)
        self.field = field
        self.text = text


def _setting(default: _T, used_by: User, help_text: str) -> _T:
    """Declare a field of `Settings` with what `SETTINGS` shall tell about it."""
    field: _T = Field(default, description=help_text, json_schema_extra={"used_by": used_by.value})
    return field


_S, _G, _B = User.SERVER, User.GATEWAY, User.BOTH


class Settings(BaseModel):
    """What server and gateway are told from outside; immutable. An attribute is its variable in lower case.

    Durations are in seconds, sizes in bytes. Made directly it takes no notice of the environment, and raises
    pydantic's `ValidationError`; `load_settings` is the usual way in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grpc_server_port: Port = _setting(
        8081, _B, "port the gRPC server listens on, and the gateway calls; 0 for a free one"
    )
    grpc_server_host: Host = _setting("localhost", _G, "host of the gRPC server that the gateway calls")
    grpc_server_bind: Host = _setting("0.0.0.0", _S, "address the gRPC server listens on")  # noqa: S104 - As documented.
    grpc_server_keepalive: Switch = _setting(False, _S, "let the server ping idle connections")
    grpc_server_keepalive_time: PositiveSeconds = _setting(7200.0, _S, "silence after which the server pings")
    grpc_server_keepalive_timeout: PositiveSeconds = _setting(
        20.0, _S, "how long the server waits for the answer to a ping"
    )
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
    grpc_client_keepalive: Switch = _setting(False, _G, "let the gateway ping the gRPC server")
    grpc_client_keepalive_time: PositiveSeconds = _setting(10.0, _G, "silence after which the gateway pings")
    grpc_client_keepalive_timeout: PositiveSeconds = _setting(
        20.0, _G, "how long the gateway waits for the answer to a ping"
    )
    grpc_client_timeout: PositiveSeconds = _setting(15.0, _G, "deadline of a unary call through the gateway")
    grpc_max_message_size: Size = _setting(4 * 2**20, _B, "largest gRPC message sent or taken")
    http_port: Port = _setting(8080, _G, "port the gateway listens on; 0 for a free one")
    http_bind: Host = _setting("0.0.0.0", _G, "address the gateway listens on")  # noqa: S104 - As documented.
    http_allowed_origins: Origins = _setting(
        (), _G, "origins, comma-separated, whose pages may open WebSockets; * for any"
    )
    shutdown_grace: Seconds = _setting(10.0, _B, "how long running calls may go on after SIGTERM")
    log_level: LogLevel = _setting("info", _B, f"least serious event to log: {', '.join(values.LOG_LEVELS)}")
    log_format: LogFormat = _setting(
        "auto", _B, f"{', '.join(values.LOG_FORMATS)}; auto is console on a terminal, else JSON"
    )

    _from_flags: frozenset[str] = PrivateAttr(default=frozenset())

    def name_of(self, field: str) -> str:
        """The name of a setting for a person: its flag if its value was given by that, else its variable."""
        return _name(field, self._from_flags)

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        """Refuse what would else be ignored in silence, above all a TLS setting while TLS is off."""
        for cert, key in (("grpc_server_cert", "grpc_server_key"), ("grpc_client_cert", "grpc_client_key")):
            for one, other in ((cert, key), (key, cert)):
                if getattr(self, one) and not getattr(self, other):
                    raise _ContradictionError(one, f"needs {{{other}}} beside it")
        if self.grpc_server_client_ca and not self.grpc_server_cert:
            raise _ContradictionError("grpc_server_client_ca", "needs {grpc_server_cert} beside it")
        if not self.grpc_server_tls:
            for field in ("ca", "cert", "server_name", "insecure"):
                if getattr(self, f"grpc_client_{field}"):
                    raise _ContradictionError(
                        f"grpc_client_{field}", "has a meaning only when {grpc_server_tls} is true"
                    )
        if self.grpc_client_insecure and self.grpc_client_ca:
            raise _ContradictionError(
                "grpc_client_insecure", "contradicts {grpc_client_ca}: verify by it, or not at all"
            )
        return self


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, described for a person.

    Attributes:
        field: Attribute of `Settings`.
        variable: Environment variable.
        flag: Flag on the command line.
        default: The default as it would be written, empty if there is none.
        help: What it is for, one phrase.
        used_by: Which program uses it.
        switch: True or false; the flag alone means true.
    """

    field: str
    variable: str
    flag: str
    default: str
    help: str
    used_by: User
    switch: bool


def load_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the settings.

    Args:
        environ: Where to find the variables, by default this process's environment. An empty variable counts
            as not set.
        overrides: Values of attributes that win over the environment, as text or as values. They are what the
            command line was given: errors name the flag.

    Raises:
        SettingsError: A value that does not parse, or that contradicts another; the text is one line.
    """
    environ = os.environ if environ is None else environ
    flags = frozenset(overrides)
    given = {name: environ[name.upper()] for name in Settings.model_fields if environ.get(name.upper())}
    try:
        settings = Settings.model_validate(given | overrides)
    except ValidationError as invalid:
        raise SettingsError(_explain(invalid, flags)) from None
    settings._from_flags = flags
    return settings


def _explain(invalid: ValidationError, flags: frozenset[str]) -> str:
    """The first thing wrong with the settings, in one line."""
    first = invalid.errors(include_url=False)[0]
    error = first.get("ctx", {}).get("error")
    if isinstance(error, _ContradictionError):
        names = {field: _name(field, flags) for field in Settings.model_fields}
        return f"{names[error.field]}: {error.text.format_map(names)}"
    value = repr(first["input"])
    value = value if len(value) <= 80 else f"{value[:76]}...'"
    return f"{_name(str(first['loc'][0]), flags)}: {value} {error or first['msg']}"


def _name(field: str, flags: frozenset[str]) -> str:
    return f"--{field.replace('_', '-')}" if field in flags else field.upper()


def _describe(field: str) -> Setting:
    info = Settings.model_fields[field]
    extra, default = info.json_schema_extra, info.default
    assert isinstance(extra, dict)
    assert isinstance(extra["used_by"], int)
    if isinstance(default, bool):
        text = str(default).lower()
    elif isinstance(default, float):
        text = values.format_duration(default)
    elif field == "grpc_max_message_size":
        text = values.format_size(default)
    else:
        text = str(default or "")
    flag, used_by = f"--{field.replace('_', '-')}", User(extra["used_by"])
    return Setting(field, field.upper(), flag, text, info.description or "", used_by, isinstance(default, bool))


SETTINGS: tuple[Setting, ...] = tuple(_describe(field) for field in Settings.model_fields)
