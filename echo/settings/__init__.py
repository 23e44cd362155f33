"""The settings of server and gateway: environment variables, and a flag for each on the command line.

`Settings`, in `echo.settings.table`, is the only table of settings. `load_settings` fills it from the environment and
from flags; the command line generates its flags from `SETTINGS`. `echo.settings.environment` selects our variables,
`echo.settings.values` and `echo.settings.addresses` parse them. Nothing here touches a file or a socket: `echo.tls`
finds out whether a certificate is readable, and opening a port whether it is free. `echo.limits` applies the limits to
connections.
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
    """An invalid setting. The message is one line that names its variable or flag."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A description of one setting.

    Attributes:
        field: The attribute of `Settings`.
        variable: The environment variable.
        flag: The command-line flag.
        default: The default as a user would write it; empty if there is none.
        help: A phrase that says what it is for.
        group: The group it is listed in; groups are listed one after another.
        used_by: The programs that use it.
        switch: Whether it is true or false; the flag alone means true.
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
        environ: The environment variables, by default this process's. Whitespace around a value is stripped, and an
            empty variable counts as not set.
        user: The program that needs the settings. Other programs' variables are not read. A port variable that
            Kubernetes sets for a Service is ignored by a server; a gateway on its own takes the port from it.
        overrides: Attributes given on the command line, as text or as values. They take precedence over the
            environment, and errors name their flags.

    Returns:
        The settings; their ``notes`` report variables that Kubernetes has set or that are probably misspelt.

    Raises:
        SettingsError: A value is invalid or contradicts another.
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
    """Describe the first error in the settings, in one line."""
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
