"""Text to value and back: the forms in which settings are written.

Durations are Go's (``1h30m``), sizes take decimal and binary units (``4MiB``), switches and names are strict.
Every ``to_...`` function takes what a person wrote, or a value of the right type from Python, and raises
`ValueError` with the rest of a sentence that begins with the value: ``is not a port (0 to 65535)``.
`echo.settings` puts the name and the value before it.
"""

import ipaddress
import re
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

NANOSECONDS = 10**9

# Longest first, so that formatting finds the largest unit that fits. Both signs for micro are in use.
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
_LONGEST = 292 * 365 * 24 * 3600 * NANOSECONDS  # About what fits into 64 bits, as in Go; exact as a float.
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
_LARGEST = 2**32 - 1  # The length of a gRPC message is announced in four bytes.

_MOST_DIGITS = 30  # More than any of these values needs; int() refuses thousands with an error of its own.

_HOST_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
_ORIGIN_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("auto", "console", "json")


def to_duration(value: object) -> float:
    """Read a duration such as ``10s``, ``1h30m``, ``500ms``, ``1.5s`` or ``0``; a number is taken as seconds.

    Returns:
        Seconds, not negative, to the nanosecond.

    Raises:
        ValueError: It is none, is negative, or is longer than 292 years of 365 days.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 <= value <= _LONGEST / NANOSECONDS:  # Not a number is neither.
            return float(value)
    elif value == "0":
        return 0.0
    elif isinstance(value, str) and (nanoseconds := _nanoseconds(value)) is not None:
        if nanoseconds > _LONGEST:
            raise ValueError("is too long (at most 292 years)")
        return nanoseconds / NANOSECONDS
    raise ValueError("is not a duration (such as 10s, 1h30m or 500ms)")


def to_positive_duration(value: object) -> float:
    """Read a duration above zero, in seconds; like `to_duration` else."""
    seconds = to_duration(value)
    if seconds == 0:
        raise ValueError("is no time at all: must be more than 0s")
    return seconds


def format_duration(seconds: float) -> str:
    """Write a duration in seconds as `to_duration` reads it: ``5400`` is ``1h30m``, ``0.5`` is ``500ms``.

    Exact to the nanosecond; reading it again gives the same number for whatever `to_duration` returned.
    """
    rest = round(Fraction(seconds) * NANOSECONDS)
    if rest == 0:
        return "0s"
    text = ""
    for unit, size in _DURATION_UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            text += f"{count}{unit}"
    return text


def to_size(value: object) -> int:
    """Read the size of a message: ``4MiB``, ``1.5KiB``, ``1MB``, or a plain number of bytes.

    Returns:
        Bytes, at least 1.

    Raises:
        ValueError: It is none, is no whole number of bytes, or is more than a gRPC message can have.
    """
    size: Fraction | int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and len(value) <= _MOST_DIGITS and (match := _SIZE.fullmatch(value)):
        whole, decimals, unit = match.groups()
        size = Fraction(f"{whole}.{decimals or 0}") * _SIZE_UNITS[(unit or "b").lower()]
    if size is None or size != int(size):
        raise ValueError("is not a size (such as 4MiB, 64KiB, 1MB or a number of bytes)")
    if not 1 <= size <= _LARGEST:
        raise ValueError(f"is not a size that a message can have (1 to {_LARGEST} bytes)")
    return int(size)


def format_size(size: int) -> str:
    """Write a size in bytes with the largest unit that divides it: ``4194304`` is ``4MiB``."""
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
    """Read ``true``, ``false``, ``1`` or ``0``, in any case, and nothing else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "1"}:
        return True
    if isinstance(value, str) and value.lower() in {"false", "0"}:
        return False
    raise ValueError("is neither true nor false")


def to_port(value: object) -> int:
    """Read a TCP port. Port 0 asks the operating system for a free one."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value, re.ASCII):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535:
        return value
    raise ValueError("is not a port (0 to 65535)")


def to_host(value: object) -> str:
    """Read a host name or an IP address, without scheme, brackets or port."""
    if isinstance(value, str) and (_is_address(value) or _is_host_name(value)):
        return value
    raise ValueError("is not a host name or an IP address")


def to_path(value: object) -> Path:
    """Read the path of a file. Whether it is there shows when it is used."""
    if isinstance(value, (str, Path)) and str(value) and "\0" not in str(value):
        return Path(value)
    raise ValueError("is not the path of a file")


def to_origins(value: object) -> tuple[str, ...]:
    """Read comma-separated origins (``https://example.com``), ``*`` for any, or ``null``.

    Returns:
        Each as browsers write it in ``Origin`` (RFC 6454 §6.2): lower case, without the default port.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, (list, tuple)):
        return tuple(dict.fromkeys(_origin(part) for part in value))
    raise ValueError("is not a list of origins")


def to_log_level(value: object) -> str:
    """Read the name of a log level, in any case; ``warn`` is taken as well."""
    name = value.lower() if isinstance(value, str) else ""
    name = "warning" if name == "warn" else name
    if name in LOG_LEVELS:
        return name
    raise ValueError(f"is not a log level ({', '.join(LOG_LEVELS)})")


def to_log_format(value: object) -> str:
    """Read the name of a log format, in any case."""
    name = value.lower() if isinstance(value, str) else ""
    if name in LOG_FORMATS:
        return name
    raise ValueError(f"is not a log format ({', '.join(LOG_FORMATS)})")


def _nanoseconds(text: str) -> int | None:
    """Add up the parts of a duration; None when the text is none. Fractions of a nanosecond are dropped."""
    total, position = Fraction(0), 0
    while match := _DURATION_PART.match(text, position):
        whole, decimals, unit = match.group(1), match.group(2) or "", match.group(3)
        if not whole + decimals or len(whole + decimals) > _MOST_DIGITS:
            return None
        total += Fraction(f"{whole or 0}.{decimals or 0}") * _DURATION_UNITS[unit]
        position = match.end()
    return int(total) if position == len(text) > 0 else None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "\0" not in text  # Python takes anything as the zone of an IPv6 address.


def _is_host_name(text: str) -> bool:
    try:
        encoded = text.encode("idna")  # As the resolver will do it; refuses what is too long.
    except UnicodeError:
        return False
    return len(encoded) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in text.removesuffix(".").split("."))


def _origin(value: object) -> str:
    """One origin as a browser would write it."""
    text = value.lower() if isinstance(value, str) else ""
    if text in {"*", "null"}:
        return text
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:  # Brackets that don't match, a port that is none.
        scheme, host, port = "", "", None
    if _ORIGIN_SCHEME.fullmatch(scheme) and (_is_host_name(host) or _is_address(host)):
        bare = f"{scheme}://[{host}]" if ":" in host else f"{scheme}://{host}"
        spelled = bare if port is None else f"{bare}:{port}"
        if spelled == text:  # Nothing else was in it, such as a path or a user.
            return bare if port == _DEFAULT_PORTS.get(scheme) else spelled
    raise ValueError(f"holds {value!r}, which is not an origin (such as https://example.com, or * for any)")
