"""How people write durations, sizes, numbers and choices: in settings, in flags and in scripts.

Durations are Go's (``1h30m``), sizes take decimal and binary units (``4MiB``), switches and names are strict. What
parses raises `ValueError` with a message that completes a sentence beginning with the text: ``is not a duration``.
Addresses are in `echo.configuration.addresses`.
"""

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

_NANOSECONDS: Final = 10**9
# Longest first, so that formatting finds the largest unit that fits. Both Unicode characters for micro are in use.
_MICRO: Final = dict.fromkeys(["us", "\u00b5s", "\u03bcs"], 10**3)
_DURATIONS: Final = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, **_MICRO, "ns": 1}
_LONGEST: Final = 292 * 365 * 24 * 3600 * _NANOSECONDS  # About what fits into 64 bits, as in Go; an exact float.
# At most thirty digits: more than any value needs, while int() itself refuses thousands.
_PART: Final = re.compile(r"(?=\.?[0-9])([0-9]{0,30}(?:\.[0-9]{0,30})?)(h|ms|m|s|us|\u00b5s|\u03bcs|ns)")

# Of each kind of units, those that divide most come first, for formatting.
_SIZES: Final = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "GB": 10**9, "MB": 10**6, "kB": 10**3}
_BYTES: Final = {"": 1, "b": 1} | {name.lower(): size for name, size in _SIZES.items()}
_SIZE: Final = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?) ?([kmg]i?b|b|)", re.ASCII | re.IGNORECASE)

_NUMBER: Final = re.compile(r"[0-9]{1,12}")


def quoted(text: str) -> str:
    """The text as an error shows it: in quotes, escaped, and cut where it is long."""
    shown = repr(text)
    return shown if len(shown) <= 80 else f"{shown[:76]}...'"


def to_duration(text: str, *, least: float = 0.0) -> float:
    """Parse a duration such as ``10s``, ``1h30m``, ``500ms``, ``1.5s`` or ``0``: seconds, to the nanosecond.

    Raises:
        ValueError: The text is not a duration, or one of less than ``least`` seconds or more than 292 years.
    """
    parts = list(_PART.finditer(text))
    if text != "0" and (not parts or "".join(part[0] for part in parts) != text):
        raise ValueError("is not a duration (such as 10s, 1h30m or 500ms)")
    nanoseconds = int(sum(Fraction(part[1]) * _DURATIONS[part[2]] for part in parts))
    if nanoseconds > _LONGEST:
        raise ValueError("is too long (at most 292 years)")
    seconds = nanoseconds / _NANOSECONDS
    if seconds < least:
        raise ValueError(
            f"is too short ({f'at least {format_duration(least)}' if seconds else 'must be more than 0s'})"
        )
    return seconds


def format_duration(seconds: float) -> str:
    """Format a duration for `to_duration`: ``5400`` is ``1h30m``, ``0.5`` is ``500ms``, and infinity ``off``.

    Exact to the nanosecond: parsing the result again gives the same number.
    """
    if seconds == math.inf:
        return "off"
    rest = round(Fraction(seconds) * _NANOSECONDS)
    text = ""
    for unit, size in _DURATIONS.items():
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def to_size(text: str, *, least: int = 1, most: int = 2**32 - 1, of: str = "a message") -> int:
    """Parse a size in bytes: ``4MiB``, ``1.5KiB``, ``1MB``, or a plain number; ``of`` is what it is of, for the error.

    Raises:
        ValueError: The text is not a whole number of bytes from ``least`` to ``most``.
    """
    match = _SIZE.fullmatch(text)
    size = None if match is None else Fraction(match[1]) * _BYTES[match[2].lower()]
    if size is None or size != int(size):
        raise ValueError("is not a size (such as 4MiB, 64KiB, 1MB or a number of bytes)")
    if not least <= size <= most:
        raise ValueError(f"is not a size that {of} can have ({least} to {most} bytes)")
    return int(size)


def format_size(size: int) -> str:
    """Format a size in bytes with the largest unit that divides it: ``4194304`` is ``4MiB``."""
    unit = next((unit for unit, of_unit in _SIZES.items() if size and size % of_unit == 0), "")
    return f"{size // _SIZES.get(unit, 1)}{unit}"


class Kind(NamedTuple, Generic[T]):
    """What values a setting has: how their text is read, within bounds, and how they are written."""

    read: Callable[[str], T]
    write: Callable[[T], str] = str


def kind(parse: Callable[[str], T | None], fault: str, write: Callable[[T], str] = str) -> Kind[T]:
    """The values that ``parse`` makes of text; ``fault`` is the error for text of which it makes None."""

    def read(text: str) -> T:
        value = parse(text)
        if value is None:
            raise ValueError(fault)
        return value

    return Kind(read, write)


def seconds(least: float = 0.0) -> Kind[float]:
    """Durations of ``least`` or more."""
    return Kind(partial(to_duration, least=least), format_duration)


def size(least: int, most: int, of: str) -> Kind[int]:
    """Sizes, as of `to_size`."""
    return Kind(partial(to_size, least=least, most=most, of=of), format_size)


def whole_number(least: int, most: int) -> Kind[int]:
    """Whole numbers within bounds."""
    fault = f"is not a whole number from {least} to {most}"
    return kind(lambda text: int(text) if _NUMBER.fullmatch(text) and least <= int(text) <= most else None, fault)


def one_of(values: Mapping[str, T], fault: str) -> Kind[T]:
    """Names, in any case, that stand for values; a value is written as the first of its names."""
    names = {value: name for name, value in reversed(list(values.items()))}
    return kind(lambda text: values.get(text.lower()), fault, names.__getitem__)


def either(words: Mapping[str, T], other: Kind[T]) -> Kind[T]:
    """Words, in any case, that stand for values, besides those of another kind; errors offer the first word."""

    def read(text: str) -> T:
        try:
            return words[text.lower()] if text.lower() in words else other.read(text)
        except ValueError as error:
            raise ValueError(f"{error}, or {next(iter(words))}") from None

    return Kind(read, other.write)


POSITIVE_NUMBER: Final = whole_number(1, 999_999_999)
POSITIVE: Final = 1e-9  # Seconds: the shortest duration there is.
OFF: Final = {"off": math.inf, "infinite": math.inf}
_ON_OR_OFF: Final = {"true": True, "false": False, "on": True, "off": False, "1": True, "0": False}
SWITCH: Final = one_of(_ON_OR_OFF, "is neither true nor false, nor on nor off")
