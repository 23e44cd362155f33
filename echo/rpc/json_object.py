"""Reads a JSON object whose fields must have certain types; errors name the field by its path."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from echo.wire import Status

__all__ = ["JsonObject"]

_DURATION: Final = re.compile(r"(?=\.?[0-9])([0-9]{0,12}(?:\.[0-9]{0,9})?)s")
_T = TypeVar("_T")


class JsonObject:
    """A JSON object that knows its path, for error messages; ``null`` counts as absent.

    Its methods return a field's value, and raise ValueError if it is of another type.

    Args:
        where: What the object is; error messages begin with it.
        given: The object, as ``json.loads`` returns it.
        joint: What stands between that and the name of a field.
    """

    def __init__(self, where: str, given: object, *, joint: str = ": ") -> None:
        self._where = where
        self._joint = joint
        if not isinstance(given, Mapping):
            raise ValueError(f"{where}: {given!r:.60} is not an object")
        self._given = given

    @property
    def names(self) -> Sequence[str]:
        """The names of its fields."""
        return tuple(self._given)

    def __contains__(self, name: str) -> bool:
        return self._given.get(name) is not None

    def error(self, name: str, what: str) -> ValueError:
        """An error about a field of this object, or about the object if ``name`` is empty."""
        return ValueError(f"{self._path(name) if name else self._where}: {what}")

    def child(self, name: str) -> "JsonObject | None":
        """An object; None if it is absent."""
        value = self._given.get(name)
        return None if value is None else JsonObject(self._path(name), value, joint=".")

    def children(self, name: str) -> list["JsonObject"]:
        """A list of objects, empty by default."""
        values = self._typed(name, (list, tuple), "a list", default=())
        return [JsonObject(f"{self._path(name)}[{number}]", value, joint=".") for number, value in enumerate(values)]

    def text(self, name: str) -> str:
        """A string, empty by default."""
        return self._typed(name, (str,), "a string", default="")

    def boolean(self, name: str) -> bool:
        """True or false."""
        return self._typed(name, (bool,), "true or false")

    def integer(self, name: str, *, least: int) -> int:
        """An integer of at least ``least``."""
        value = self._given.get(name)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value, re.ASCII):  # As protobuf writes int64.
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1 or value < least:
            raise self._invalid(name, f"an integer of at least {least}")
        return int(value)

    def positive(self, name: str) -> float:
        """A number above zero."""
        value = self._given.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise self._invalid(name, "a number above zero")
        return float(value)

    def duration(self, name: str, *, positive: bool = False) -> float:
        """A duration as protobuf writes it, in seconds."""
        value = self._given.get(name)
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None or (positive and not float(match[1])):
            raise self._invalid(name, f"a duration{' above zero' if positive else ''} in seconds, such as '0.5s'")
        return float(match[1])

    def statuses(self, name: str, *, needed: bool) -> frozenset[Status]:
        """A list of statuses by name or number; it must not be empty if it is ``needed``."""
        values = self._typed(name, (list, tuple), "a list of statuses", default=None if needed else ())
        if needed and not values:
            raise self.error(name, "is empty")
        return frozenset(self._status(name, value) for value in values)

    def _status(self, name: str, value: object) -> Status:
        known = {status.name: status for status in Status} | {status.value: status for status in Status}
        status = known.get(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
        if status is None or status is Status.OK:
            raise self.error(name, f"{value!r:.60} is not a status that calls fail with")
        return status

    def _typed(self, name: str, types: tuple[type[_T], ...], what: str, default: _T | None = None) -> _T:
        value = self._given.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, types):
            raise self._invalid(name, what)
        return value

    def _invalid(self, name: str, what: str) -> ValueError:
        value = self._given.get(name)
        return self.error(name, f"is missing, and must be {what}" if value is None else f"{value!r:.60} is not {what}")

    def _path(self, name: str) -> str:
        return f"{self._where}{self._joint}{name}"
