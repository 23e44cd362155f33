"""How a setting is declared, and how settings are read from environment variables and flags.

A module declares the settings of what it does, and `echo.settings` has them all:

    class Calls(Group):
        calls = Title("Calls")
        call_timeout = setting(15.0, seconds(), GATEWAY, "deadline of calls")

An attribute's name is its variable's in lower case, and its flag's with dashes. `values` and `addresses` parse what
people write, `environment` knows what Kubernetes puts among the variables. Nothing here touches a file or a socket.
"""

import os
from collections.abc import Mapping
from enum import Flag, auto
from typing import Any, ClassVar, NamedTuple, Never, Self, TypeVar

from echo.configuration.environment import Note, misspelt, read_variables
from echo.configuration.values import Kind, quoted

T = TypeVar("T")
G = TypeVar("G", bound="Group")


class SettingsError(Exception):
    """An invalid setting. The message is one line that names its variable or flag."""


class User(Flag):
    """The programs that use a setting."""

    SERVER = auto()
    GATEWAY = auto()
    BOTH = SERVER | GATEWAY


SERVER, GATEWAY, BOTH = User.SERVER, User.GATEWAY, User.BOTH


class Title(NamedTuple):
    """What the settings that follow are listed under."""

    text: str


class Setting:
    """A declared setting.

    Attributes:
        default: The value if neither variable nor flag is given.
        kind: What values it has.
        used_by: The programs that use it.
        help: A phrase that says what it is for.
        field, variable, flag: Its names.
        title: What it is listed under.
    """

    title: str = ""

    def __init__(self, default: T | None, kind: Kind[T], used_by: User, text: str) -> None:
        self.default: Any = default
        self.kind: Kind[Any] = kind
        self.used_by, self.help = used_by, text

    def __set_name__(self, group: "type[Group]", name: str) -> None:
        self.field, self.variable, self.flag = name, name.upper(), f"--{name.replace('_', '-')}"

    @property
    def default_text(self) -> str:
        """The default as a user would write it; empty if there is none."""
        return "" if self.default is None else self.kind.write(self.default)


def setting(default: T, kind: Kind[T], used_by: User, text: str) -> T:
    """Declare a setting; to type checkers, the attribute is the value that it has where settings have been read."""
    declared: Any = Setting(default, kind, used_by, text)
    return declared  # type: ignore[no-any-return]


def optional(kind: Kind[T], used_by: User, text: str) -> T | None:
    """Declare a setting that is None if it is not given."""
    declared: Any = Setting(None, kind, used_by, text)
    return declared  # type: ignore[no-any-return]


class Group:
    """Settings that were read; immutable. A class that inherits from several has the settings of all.

    Attributes:
        settings: The declarations, as they are to be listed.
        notes: Remarks about the environment that the values were read from.
    """

    settings: ClassVar[tuple[Setting, ...]] = ()
    notes: tuple[Note, ...] = ()
    _flags: frozenset[str] = frozenset()

    def __init_subclass__(cls) -> None:
        cls.settings = tuple(each for base in cls.__bases__ for each in getattr(base, "settings", ()))
        title = Title("")
        for each in vars(cls).copy().values():
            if isinstance(each, Title):
                title = each
            elif isinstance(each, Setting):
                each.title = each.title or title.text  # Another group's, if it is that group's setting.
                cls.settings += (each,)

    def __init__(self, values: Mapping[str, object]) -> None:
        """Take these values as they are; `read` gives settings that are complete and checked."""
        vars(self).update(values)

    def __setattr__(self, name: str, value: Never) -> Never:
        raise AttributeError(f"settings cannot be changed: {name}")

    def changed(self, **values: object) -> Self:
        """The settings with other values for these."""
        return type(self)({**vars(self), **values})

    def check(self) -> None:
        """Raise a `refusal` of settings that contradict each other, or that would otherwise be silently ignored."""

    def require(self, field: str, other: str) -> None:
        """Refuse a setting that is given without another."""
        if getattr(self, field) and not getattr(self, other):
            raise self.refusal(field, f"needs {self.name_of(other)} as well")

    def refusal(self, field: str, fault: str) -> SettingsError:
        """The error for a setting."""
        return SettingsError(f"{self.name_of(field)}: {fault}")

    def name_of(self, field: str) -> str:
        """The name of a setting for messages: its flag if the flag was given, else its variable."""
        declared: Setting = getattr(type(self), field)
        return declared.flag if field in self._flags else declared.variable


def read(group: type[G], environ: Mapping[str, str] = os.environ, user: User = BOTH, /, **flags: str) -> G:
    """Read the settings of a group.

    Args:
        group: Which.
        environ: The environment variables. Whitespace around a value is stripped, and an empty variable counts as not
            set.
        user: The program that needs the settings. Other programs' variables are not read. A port variable that
            Kubernetes sets for a Service is ignored by a server; a gateway on its own takes the port from it.
        flags: The text of flags, by attribute. They take precedence over variables, and errors name them.

    Raises:
        SettingsError: A value is invalid or contradicts another.
    """
    if unknown := flags.keys() - {each.field for each in group.settings}:
        raise TypeError(f"there is no setting {', '.join(unknown)}")
    variables = [each.variable for each in group.settings if each.used_by & user and each.field not in flags]
    given, notes = read_variables(environ, variables, calls=user is GATEWAY)
    notes += misspelt(environ, {each.variable for each in group.settings})
    settings = group({"notes": notes, "_flags": frozenset(flags)})
    for each in group.settings:
        text = flags.get(each.field, given.get(each.variable))
        try:
            vars(settings)[each.field] = each.default if text is None else each.kind.read(text)
        except ValueError as error:
            raise settings.refusal(each.field, f"{quoted(str(text))} {error}") from None
    for base in group.__mro__:
        if check := vars(base).get("check"):
            check(settings)
    return settings
