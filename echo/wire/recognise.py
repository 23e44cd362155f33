"""Reads a request's head at less cost if it starts like an earlier one.

A client's calls of one method start with the same fields: pseudo-header fields, then te, content-type and user-agent.
Fields that differ follow: the timeout, which may also stand right behind the pseudo-header fields, and metadata. So a
start is checked and parsed once, and recognised afterwards. So are the names behind it. Of their values, only the
characters are checked; metadata is decoded when a handler asks for it. Malformed or unusual requests are left to
`echo.wire.fields` and `echo.wire.request_parser`, which say what is wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from echo.wire.errors import MalformedError
from echo.wire.fields import TRAILERS, check_fields, check_request
from echo.wire.head import Request
from echo.wire.header_lists import FIELD_OVERHEAD, ReceivedField, Recurring, Started, list_size
from echo.wire.metadata import decode_metadata
from echo.wire.request_parser import Rejected, parse_request
from echo.wire.timeout import decode_timeout
from echo.wire.undecoded import TIMEOUT, Names, Undecoded

MAX_STARTS: Final = 256  # Starts remembered in the whole process.
MAX_NAMES: Final = 256  # The same of what follows them.
MAX_SIZE: Final = 1_024  # The largest of either remembered, as SETTINGS_MAX_HEADER_LIST_SIZE counts it.

_USUAL: Final = frozenset({b"te", b"content-type", b"user-agent", b"grpc-encoding", b"grpc-accept-encoding"})
_REPEATED: Final = _USUAL | {b":method", b":scheme", b":path", b":authority"}
_NO_NAMES: Final[frozenset[bytes]] = frozenset()
_NUL: Final = 0  # Integers, as it takes less to find an integer in bytes than to find bytes.
_LF: Final = 10
_CR: Final = 13


class Start(NamedTuple):
    """The start of a request: the size of its fields, and the request that they make."""

    size: int
    request: Request


_starts: dict[tuple[ReceivedField, ...], Start | None] = {}  # None for starts that are valid only with the rest.
_names: dict[tuple[bytes, ...], Names] = {}


def recognise(fields: Sequence[ReceivedField], max_size: int) -> Request | None:
    """Read a request's head; None if its start is not known, or if it is too large, malformed or unusual.

    Requests without further fields share one instance.

    Args:
        fields: The decoded header list.
        max_size: The limit on its size (RFC 9113 §6.5.2).
    """
    names: tuple[bytes, ...] = ()
    values: Sequence[bytes] = ()
    recurring = fields
    if type(fields) is Started:
        recurring, names, values = fields.start, fields.names, fields.values
    start = recurring.meaning if type(recurring) is Recurring else None
    if type(start) is not Start:
        first, rest = _split(fields)
        start = _starts.get(first)
        if start is None:
            return None
        if type(recurring) is Recurring and len(recurring) == len(first):
            recurring.meaning = start
        names, values = zip(*[field[:2] for field in rest], strict=True) if rest else ((), ())
    if not names:
        return start.request if start.size <= max_size else None
    own = _names.get(names)
    if own is None:
        return _with_unknown_names(start, names, values, max_size)
    joined = b"".join(values)
    if start.size + own.size + len(joined) > max_size or _NUL in joined or _LF in joined or _CR in joined:
        return None
    try:
        timeout = None if own.timeout is None else decode_timeout(values[own.timeout])
    except ValueError:
        return None
    return Undecoded(start.request, timeout, own, values)


def _with_unknown_names(
    start: Start, names: tuple[bytes, ...], values: Sequence[bytes], max_size: int
) -> Request | None:
    """Read the fields after the start, and remember their names."""
    timeout = None
    try:
        rest = check_fields([*zip(names, values, strict=True)], TRAILERS)
        if rest.own:
            if len(rest.own) > 1 or TIMEOUT not in rest.own:
                return None
            timeout = decode_timeout(rest.own[TIMEOUT])
        metadata = decode_metadata(rest.custom)
    except (MalformedError, ValueError):
        return None
    if start.size + rest.size > max_size:
        return None
    size = FIELD_OVERHEAD * len(names) + sum(map(len, names))
    if size <= MAX_SIZE and names.count(TIMEOUT) < 2 and not any(name.endswith(b"-bin") for name in names):
        if len(_names) >= MAX_NAMES:
            _names.clear()
        _names[names] = Names(names, size, names.index(TIMEOUT) if TIMEOUT in names else None)
    return replace(start.request, timeout=timeout, metadata=metadata)


def remember(fields: Sequence[ReceivedField]) -> None:
    """Recognise requests that start like this valid one from now on."""
    start, _ = _split(fields)
    size = list_size([field[:2] for field in start])
    if start in _starts or size > MAX_SIZE:
        return
    if len(_starts) >= MAX_STARTS:
        _starts.clear()
    try:
        _starts[start] = Start(size, parse_request(check_request(start)))
    except (MalformedError, Rejected):
        _starts[start] = None


def _split(fields: Iterable[ReceivedField]) -> tuple[tuple[ReceivedField, ...], list[ReceivedField]]:
    """The start of a request, and the other fields. The timeout may stand within the start, where gRPC wants it."""
    start: list[ReceivedField] = []
    rest: list[ReceivedField] = []
    continues = _REPEATED  # The names that continue the start.
    for field in fields:
        if field[0] in continues:
            start.append(field)
        else:
            continues = _USUAL if field[0] == TIMEOUT and not rest else _NO_NAMES
            rest.append(field)
    return tuple(start), rest
