"""Reads a request's head at less cost if it starts like an earlier one.

A client's calls of one method start with the same fields: pseudo-header fields, then te, content-type and user-agent.
Fields that differ follow: the timeout, and metadata. So a start is checked and parsed once, and recognised afterwards.
Of metadata under names seen before, only the values' characters are checked; it is decoded when a handler asks for it.
Malformed or unusual requests are left to `echo.wire.fields` and `echo.wire.request_parser`, which say what is wrong.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from echo.wire.fields import TRAILERS, MalformedError, check_fields, check_request, list_size
from echo.wire.head import Request
from echo.wire.hpack import FIELD_OVERHEAD, ReceivedField, Recurring, Started
from echo.wire.metadata import decode_metadata
from echo.wire.request_parser import Rejected, parse_request
from echo.wire.timeout import decode_timeout
from echo.wire.undecoded import Undecoded

MAX_STARTS: Final = 256  # Starts remembered in the whole process.
MAX_START_SIZE: Final = 1_024  # The largest start remembered, as SETTINGS_MAX_HEADER_LIST_SIZE counts it.
MAX_NAMES: Final = 256  # Names of metadata remembered in the whole process,
MAX_NAME: Final = 64  # each of at most so many bytes.

_REPEATED: Final = frozenset(
    {
        b":method",
        b":scheme",
        b":path",
        b":authority",
        b"te",
        b"content-type",
        b"user-agent",
        b"grpc-encoding",
        b"grpc-accept-encoding",
    }
)
_TIMEOUT: Final = b"grpc-timeout"
_NUL: Final = 0  # Integers, as it takes less to find an integer in bytes than to find bytes.
_LF: Final = 10
_CR: Final = 13


class Start(NamedTuple):
    """The start of a request: the size of its fields, and the request that they make."""

    size: int
    request: Request


_starts: dict[tuple[ReceivedField, ...], Start | None] = {}  # None for starts that are valid only with the rest.
_texts: set[bytes] = set()  # Valid names of metadata whose values are text.


def recognise(fields: Sequence[ReceivedField], max_size: int) -> Request | None:
    """Read a request's head; None if its start is not known, or if it is too large, malformed or unusual.

    Requests without further fields share one instance.

    Args:
        fields: The decoded header list.
        max_size: The limit on its size (RFC 9113 §6.5.2).
    """
    recurring = fields if type(fields) is Recurring else fields.start if type(fields) is Started else None
    if recurring is not None and recurring.recognised is not None:
        start, at = recurring.recognised, len(recurring)
    else:
        at = _length_of_start(fields)
        known = _starts.get(tuple(fields[:at]))
        if known is None:
            return None
        start = known
        if recurring is not None and len(recurring) == at:
            recurring.recognised = start
    if at == len(fields):
        return start.request if start.size <= max_size else None
    rest = fields[at:]
    timeout = None
    custom: list[ReceivedField] = []
    values: list[bytes] = []
    size = start.size + FIELD_OVERHEAD * len(rest)
    for field in rest:
        name, value = field[0], field[1]
        if name in _texts:
            custom.append(field)
        elif name == _TIMEOUT:
            timeout = value
        else:
            return _with_unknown_names(start, rest, max_size)
        values.append(value)
        size += len(name)
    joined = b"".join(values)
    if size + len(joined) > max_size or _NUL in joined or _LF in joined or _CR in joined:
        return None
    try:
        seconds = None if timeout is None else decode_timeout(timeout.decode())
    except ValueError:
        return None
    return Undecoded(start.request, seconds, custom)


def _with_unknown_names(start: Start, fields: Sequence[ReceivedField], max_size: int) -> Request | None:
    """Read the fields after the start, and remember the names of their metadata."""
    timeout = None
    try:
        rest = check_fields(fields, TRAILERS)
        if rest.own:
            if len(rest.own) > 1 or _TIMEOUT not in rest.own:
                return None
            timeout = decode_timeout(rest.own[_TIMEOUT].decode("latin-1"))
        metadata = decode_metadata(rest.custom)
    except (MalformedError, ValueError):
        return None
    if start.size + rest.size > max_size:
        return None
    for name, _ in rest.custom:
        if len(name) <= MAX_NAME and not name.endswith(b"-bin"):
            if len(_texts) >= MAX_NAMES:
                _texts.clear()
            _texts.add(name)
    return replace(start.request, timeout=timeout, metadata=metadata)


def remember(fields: Sequence[ReceivedField]) -> None:
    """Recognise requests that start like this valid one from now on."""
    start = tuple(fields[: _length_of_start(fields)])
    size = list_size([field[:2] for field in start])
    if start in _starts or size > MAX_START_SIZE:
        return
    if len(_starts) >= MAX_STARTS:
        _starts.clear()
    try:
        _starts[start] = Start(size, parse_request(check_request(start)))
    except (MalformedError, Rejected):
        _starts[start] = None


def _length_of_start(fields: Sequence[ReceivedField]) -> int:
    at = 0
    for field in fields:
        if field[0] not in _REPEATED:
            break
        at += 1
    return at
