"""Parsers for a script's values; they raise `ScriptError` for a value that is invalid or out of bounds."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import Final

from echo.configuration.values import SWITCH, format_duration, format_size, to_duration, to_size
from echo.printable import printable
from echo.wire import ErrorCode, Status, decode_status_message, encode_metadata

MAX_DURATION: Final = 3600.0  # Seconds.
MAX_COUNT: Final = 1_000_000  # Responses, failures.
MAX_WEIGHTS: Final = 32
MAX_MESSAGE: Final = 1_024  # Characters.
MAX_QUOTED: Final = 80  # Characters of a value that an error quotes.

_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_CALL_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WEIGHT: Final = re.compile(r"([^@:,]+)@([0-9]{1,3}(?:\.[0-9]{1,6})?)")


class ScriptError(ValueError):
    """A value that is invalid or out of bounds.

    Args:
        name: The value's name, without prefix.
        text: The problem.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ends."""

    status: Status
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """An ending, and the percentage of calls that get it."""

    ending: Ending
    percent: float


def shown(value: str) -> str:
    """Quote a value for an error message, shortened if necessary."""
    return f"'{printable(value if len(value) <= MAX_QUOTED else value[: MAX_QUOTED - 3] + '...')}'"


def _fail(name: str, value: str, text: object) -> ScriptError:
    return ScriptError(name, f"{shown(value)} {text}")


def duration(name: str, value: str) -> float:
    """Parse a duration, in seconds."""
    try:
        seconds = to_duration(value)
    except ValueError as error:
        raise _fail(name, value, error) from None
    if seconds > MAX_DURATION:
        raise _fail(name, value, f"is too long (at most {format_duration(MAX_DURATION)})")
    return seconds


def count(name: str, value: str) -> int:
    """Parse a count."""
    if not _NUMBER.fullmatch(value):
        raise _fail(name, value, f"is not a number (0 to {MAX_COUNT})")
    number = int(value)
    if number > MAX_COUNT:
        raise _fail(name, value, f"is too many (at most {MAX_COUNT})")
    return number


def size(name: str, value: str, most: int) -> int:
    """Parse a size, in bytes."""
    try:
        number = to_size(value, least=0)
    except ValueError as error:
        raise _fail(name, value, error) from None
    if number > most:
        raise _fail(name, value, f"is too large (at most {format_size(most)})")
    return number


def switch(name: str, value: str) -> bool:
    """Parse a boolean."""
    try:
        return SWITCH.read(value)
    except ValueError as error:
        raise _fail(name, value, error) from None


def call_id(name: str, value: str) -> str:
    """Validate a call-id."""
    if not is_call_id(value):
        raise _fail(name, value, "is not 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return value


def is_call_id(value: str) -> bool:
    """Whether this is a valid call-id."""
    return _CALL_ID.fullmatch(value) is not None


def compression(name: str, value: str) -> str:
    """Parse the encoding of responses."""
    if value.lower() != "gzip":
        raise _fail(name, value, "is not gzip")
    return "gzip"


def endings(name: str, value: str) -> tuple[Choice, ...]:
    """Parse ``14``, ``UNAVAILABLE``, ``14:please retry``, or weights ``14@10,0@90``; the rest is OK."""
    weights = [_WEIGHT.fullmatch(item.strip(" ")) for item in value.split(",")]
    if not all(weights):
        code, separator, text = value.partition(":")
        message = decode_status_message(text.encode(errors="replace"))
        if len(message) > MAX_MESSAGE:
            raise _fail(name, value, f"has a message that is too long (at most {MAX_MESSAGE} characters)")
        return (Choice(Ending(_status(name, value, code), message if separator else None), 100.0),)
    if len(weights) > MAX_WEIGHTS:
        raise _fail(name, value, f"has too many weights (at most {MAX_WEIGHTS})")
    choices = [Choice(Ending(_status(name, value, each[1])), float(each[2])) for each in weights if each]
    total = sum(choice.percent for choice in choices)
    if total > 100.0 + 1e-6:
        raise _fail(name, value, f"has weights of {total:g} percent together (at most 100)")
    return tuple(choices)


def _status(name: str, value: str, code: str) -> Status:
    code = code.strip(" ")
    try:
        return Status(int(code)) if _NUMBER.fullmatch(code) else Status[code.upper()]
    except (ValueError, KeyError):
        raise _fail(name, value, "is not a status (0 to 16, or a name such as UNAVAILABLE)") from None


def error_code(name: str, value: str) -> int:
    """Parse RST_STREAM's error code: a name or a number (RFC 9113 §7)."""
    try:
        return ErrorCode(int(value)) if _NUMBER.fullmatch(value) else ErrorCode[value.upper()]
    except (ValueError, KeyError):
        raise _fail(name, value, "is not an HTTP/2 error code (0 to 13, or a name such as CANCEL)") from None


def field(name: str, value: str) -> tuple[str, str | bytes]:
    """Parse metadata, ``name=value``; the value is base64 if the name ends in ``-bin``."""
    key, separator, text = value.partition("=")
    if not separator:
        raise _fail(name, value, "is not NAME=VALUE")
    content: str | bytes = text
    if key.endswith("-bin"):
        try:
            content = b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (Base64Error, ValueError):
            raise _fail(name, value, "is not base64, as the value of a -bin name must be") from None
    try:
        encode_metadata([(key, content)])
    except (ValueError, TypeError) as error:
        raise _fail(name, value, f"cannot be sent: {error}") from None
    return key, content
