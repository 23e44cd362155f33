"""The settings of server and gateway: environment variables, and a flag for each on the command line.

`Settings`, in `echo.settings.table`, is the one table of them all. `load_settings` fills it from an environment and
from flags; `SETTINGS` lists it for the command line, which makes its flags from that. `echo.settings.environment` tells
which variables are ours, `echo.settings.values` and `echo.settings.addresses` read the forms. Nothing here touches a
file or a socket: whether a certificate can be read shows in `echo.tls`, whether a port is free when it is opened. What
the limits mean to a connection is in `echo.limits`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from echo.settings import values
from echo.settings.environment import Note, misspelt, read
from echo.settings.table import ContradictionError, Group, Settings, User, name_of

__all__ = ["SETTINGS", "Group", "Note", "Setting", "Settings", "SettingsError", "User", "load_settings"]


class SettingsError(Exception):
    """A setting that can't be used. Its text is one line that names the variable or the flag it came from."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, described for a person.

    Attributes:
        field: Attribute of `Settings`.
        variable: Environment variable.
        flag: Flag on the command line.
        default: The default as it would be written, empty if there is none.
        help: What it is for, one phrase.
        group: What it is about; those of one group follow one another.
        used_by: Which program uses it.
        switch: True or false; the flag alone means true.
    """

    field: str
    variable: str
    flag: str
    default: str
    help: str
    group: Group
    used_by: User
    switch: bool


def load_settings(environ: Mapping[str, str] | None = None, user: User = User.BOTH, /, **overrides: object) -> Settings:
    """Read the settings.

    Args:
        environ: Where to find the variables, by default this process's environment. Blanks around a value are cut,
            and an empty variable counts as not set.
        user: Who wants them. Variables for others are not read; what Kubernetes sets for a Service of the gRPC
            server's name is ignored by whoever listens, and gives the port to a gateway by itself.
        overrides: Values of attributes that win over the environment, as text or as values. They are what the
            command line was given: errors name the flag.

    Returns:
        The settings; their ``notes`` tell of variables that Kubernetes set, or that are probably misspelt.

    Raises:
        SettingsError: A value that does not parse, or that contradicts another; the text is one line.
    """
    environ = os.environ if environ is None else environ
    flags = frozenset(overrides)
    fields = [setting.field for setting in SETTINGS if setting.used_by & user and setting.field not in flags]
    given, notes = read(environ, fields, "grpc_server_port" if user is User.GATEWAY else None)
    try:
        settings = Settings.model_validate(given | overrides)
    except ValidationError as invalid:
        raise SettingsError(_explain(invalid, flags)) from None
    settings.note_origin(flags, (*notes, *misspelt(environ, {setting.variable for setting in SETTINGS})))
    return settings


def _explain(invalid: ValidationError, flags: frozenset[str]) -> str:
    """The first thing wrong with the settings, in one line."""
    first = invalid.errors(include_url=False)[0]
    error = first.get("ctx", {}).get("error")
    if isinstance(error, ContradictionError):
        names = {field: name_of(field, flags) for field in Settings.model_fields}
        return f"{names[error.field]}: {error.text.format_map(names)}"
    value = repr(first["input"])
    value = value if len(value) <= 80 else f"{value[:76]}...'"
    return f"{name_of(str(first['loc'][0]), flags)}: {value} {error or first['msg']}"


def _describe(field: str) -> Setting:
    info = Settings.model_fields[field]
    extra, default = info.json_schema_extra, info.default
    assert isinstance(extra, dict)
    assert isinstance(extra["used_by"], int)
    if isinstance(default, bool):
        text = str(default).lower()
    elif isinstance(default, float):
        text = values.format_duration(default)
    elif extra["size"]:
        text = values.format_size(default)
    else:
        text = str(default or "")
    flag, group, used_by = f"--{field.replace('_', '-')}", Group(extra["group"]), User(extra["used_by"])
    return Setting(field, field.upper(), flag, text, info.description or "", group, used_by, isinstance(default, bool))


SETTINGS: tuple[Setting, ...] = tuple(_describe(field) for field in Settings.model_fields)
