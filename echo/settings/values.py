"""Parsers and formatters for settings.

Durations are Go's (``1h30m``), sizes take decimal and binary units (``4MiB``), switches and names are strict. Hosts,
files and similar are in `echo.settings.addresses`. Every ``to_...`` function takes the user's text, or a Python value
of the right type, and raises `ValueError` with a message that completes a sentence beginning with the value: ``is not a
port (0 to 65535)``. `echo.settings` puts the name and the value before it.
"""

import math
import re
from fractions import Fraction

NANOSECONDS = 10**9

# Longest first, so that formatting finds the largest unit that fits. Both Unicode characters for micro are in use.
_DURATION_UNITS = {
    "h": 3600 * NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "s": NANOSECONDS,
    "ms": 10**6,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ns": 1,
}
_LONGEST = 292 * 365 * 24 * 3600 * NANOSECONDS  # About what fits into 64 bits, as in Go; an exact float.
_DURATION_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(h|ms|m|s|us|\u00b5s|\u03bcs|ns)", re.ASCII)

_SIZE_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_SIZE = re.compile(r"([0-9]+)(?:\.([0-9]+))? ?([kmg]i?b|b)?", re.ASCII | re.IGNORECASE)
_LARGEST = 2**32 - 1  # A gRPC message's length has four bytes.

_MAX_DIGITS = 30  # More than any of these values needs; int() itself refuses thousands of digits.

BALANCES = ("pick_first", "round_robin")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("auto", "console", "json")


def to_duration(value: object) -> float:
    """Parse a duration such as ``10s``, ``1h30m``, ``500ms``, ``1.5s`` or ``0``; a number means seconds.

    Returns:
        Seconds, not negative, to the nanosecond.

    Raises:
        ValueError: The value is not a duration, is negative, or is longer than 292 years of 365 days.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 <= value <= _LONGEST / NANOSECONDS:  # NaN fails both comparisons.
            return float(value)
    elif value == "0":
        return 0.0
    elif isinstance(value, str) and (nanoseconds := _nanoseconds(value)) is not None:
        if nanoseconds > _LONGEST:
            raise ValueError("is too long (at most 292 years)")
        return nanoseconds / NANOSECONDS
    raise ValueError("is not a duration (such as 10s, 1h30m or 500ms)")


def to_positive_duration(value: object, *, least: float = 0.0) -> float:
    """Parse a duration like `to_duration`, which must be positive and at least ``least`` seconds."""
    seconds = to_duration(value)
    if seconds == 0:
        raise ValueError("is too short (must be more than 0s)")
    if seconds < least:
        raise ValueError(f"is too short (at least {format_duration(least)})")
    return seconds


def format_duration(seconds: float) -> str:
    """Format a duration in seconds for `to_duration`: ``5400`` is ``1h30m``, ``0.5`` is ``500ms``.

    Exact to the nanosecond: parsing the result of `to_duration` or `to_duration_or_off` again gives the same number.
    Infinity is ``off``.
    """
    if seconds == math.inf:
        return "off"
    rest = round(Fraction(seconds) * NANOSECONDS)
    if rest == 0:
        return "0s"
    text = ""
    for unit, size in _DURATION_UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            text += f"{count}{unit}"
    return text


def to_duration_or_off(value: object, *, least: float = 0.0) -> float:
    """Parse a duration like `to_positive_duration`, or ``off`` or ``infinite``, which mean infinity."""
    if isinstance(value, str) and value.lower() in {"off", "infinite"}:
        return math.inf
    if isinstance(value, float) and value == math.inf:
        return value
    try:
        return to_positive_duration(value, least=least)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def to_size(value: object, *, least: int = 1, most: int = _LARGEST, of: str = "a message") -> int:
    """Parse a size: ``4MiB``, ``1.5KiB``, ``1MB``, or a plain number of bytes.

    Args:
        value: The user's text, or a number.
        least: The smallest size allowed, in bytes.
        most: The largest size allowed, by default that of a gRPC message.
        of: What the size is of, for the error.

    Returns:
        Bytes.

    Raises:
        ValueError: The value is not a size, is not a whole number of bytes, or is out of bounds.
    """
    size: Fraction | int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and len(value) <= _MAX_DIGITS and (match := _SIZE.fullmatch(value)):
        whole, decimals, unit = match.groups()
        size = Fraction(f"{whole}.{decimals or 0}") * _SIZE_UNITS[(unit or "b").lower()]
    if size is None or size != int(size):
        raise ValueError("is not a size (such as 4MiB, 64KiB, 1MB or a number of bytes)")
    if not least <= size <= most:
        raise ValueError(f"is not a size that {of} can have ({least} to {most} bytes)")
    return int(size)


def to_count(value: object, *, least: int, most: int) -> int:
    """Parse a whole number from ``least`` to ``most``."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value, re.ASCII):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise ValueError(f"is not a whole number from {least} to {most}")


def to_workers(value: object) -> int:
    """Parse the number of worker processes: a whole number; ``auto`` or 0 means one for each usable CPU."""
    if isinstance(value, str) and value.lower() == "auto":
        return 0
    try:
        return to_count(value, least=0, most=1_000)
    except ValueError as error:
        raise ValueError(f"{error}, or auto") from None


def to_mode(value: object) -> int:
    """Parse file permissions in chmod's octal form: ``660``."""
    if isinstance(value, str) and re.fullmatch(r"0?[0-7]{3}", value, re.ASCII):
        value = int(value, 8)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o777:
        return value
    raise ValueError("is not a file mode (three octal digits, such as 660)")


def format_size(size: int) -> str:
    """Format a size in bytes with the largest unit that divides it: ``4194304`` is ``4MiB``."""
    for unit, name in (
        (2**30, "GiB"),
        (2**20, "MiB"),
        (2**10, "KiB"),
        (10**9, "GB"),
        (10**6, "MB"),
        (10**3, "kB"),
    ):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


def to_bool(value: object) -> bool:
    """Parse ``true`` or ``false``, ``on`` or ``off``, ``1`` or ``0``, in any case, and nothing else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "on", "1"}:
        return True
    if isinstance(value, str) and value.lower() in {"false", "off", "0"}:
        return False
    raise ValueError("is neither true nor false, nor on nor off")


def to_balance(value: object) -> str:
    """Parse the name of a load-balancing policy."""
    if isinstance(value, str) and value in BALANCES:
        return value
    raise ValueError(f"is neither {' nor '.join(BALANCES)}")


def to_log_level(value: object) -> str:
    """Parse the name of a log level, in any case; ``warn`` is accepted, too."""
    name = value.lower() if isinstance(value, str) else ""
    name = "warning" if name == "warn" else name
    if name in LOG_LEVELS:
        return name
    raise ValueError(f"is not a log level ({', '.join(LOG_LEVELS)})")


def to_log_format(value: object) -> str:
    """Parse the name of a log format, in any case."""
    name = value.lower() if isinstance(value, str) else ""
    if name in LOG_FORMATS:
        return name
    raise ValueError(f"is not a log format ({', '.join(LOG_FORMATS)})")


def _nanoseconds(text: str) -> int | None:
    """Add up the parts of a duration; None if the text is not one. Fractions of a nanosecond are dropped."""
    total, position = Fraction(0), 0
    while match := _DURATION_PART.match(text, position):
        whole, decimals, unit = match.group(1), match.group(2) or "", match.group(3)
        if not whole + decimals or len(whole + decimals) > _MAX_DIGITS:
            return None
        total += Fraction(f"{whole or 0}.{decimals or 0}") * _DURATION_UNITS[unit]
        position = match.end()
    return int(total) if position == len(text) > 0 else None
