"""Reads a request's head at less cost if it starts like an earlier one.

A client's calls of one method start with the same fields: pseudo-header fields, then te, content-type and user-agent.
Fields that differ follow: the timeout, which may also stand right behind the pseudo-header fields, and metadata. So a
start is checked and parsed once, and recognised afterwards. So are the names behind it. Of their values, only the
characters are checked; text is decoded when a handler asks for it. Malformed or unusual requests are left to
`echo.wire.fields` and `echo.wire.request_parser`, which say what is wrong.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final, NamedTuple

from echo.wire.errors import MalformedError
from echo.wire.fields import TRAILERS, check_fields, check_request
from echo.wire.head import Request
from echo.wire.header_lists import FIELD_OVERHEAD, Field, Recurring, Started, list_size
from echo.wire.metadata import Metadata, decode_metadata
from echo.wire.request_parser import parse_request
from echo.wire.timeout import decode_timeout

MAX_STARTS: Final = 256  # Starts remembered in the whole process.
MAX_NAMES: Final = 256  # The same of what follows them.
MAX_SIZE: Final = 1_024  # The largest of either remembered, as SETTINGS_MAX_HEADER_LIST_SIZE counts it.

TIMEOUT: Final = b"grpc-timeout"
_USUAL: Final = frozenset({b"te", b"content-type", b"user-agent", b"grpc-encoding", b"grpc-accept-encoding"})
_REPEATED: Final = _USUAL | {b":method", b":scheme", b":path", b":authority"}
_NO_NAMES: Final[frozenset[bytes]] = frozenset()
_NONE, _SEVERAL = -1, -2  # See `_place`.
_NUL: Final = 0  # Integers, as it takes less to find an integer in bytes than to find bytes.
_LF: Final = 10
_CR: Final = 13


class Start(NamedTuple):
    """The start of a request: the size of its fields, and the request that they make."""

    size: int
    request: Request


class Names(NamedTuple):
    """The names of a timeout and of metadata. Requests share them.

    Attributes:
        names: The names.
        size: Their share of the header list's size (RFC 9113 §6.5.2).
        timeout: Which of them is the timeout, or None.
        binary: Whether there are binary values. Text can always be decoded.
    """

    names: tuple[bytes, ...]
    size: int
    timeout: int | None
    binary: bool


# All three remember their answers: the same is asked of each request.
@lru_cache(MAX_NAMES)
def _read_names(names: tuple[bytes, ...]) -> Names:
    """Check the names of a timeout and of metadata.

    Raises:
        ValueError, MalformedError: They are malformed or unusual. That is not remembered.
    """
    size = FIELD_OVERHEAD * len(names) + sum(map(len, names))
    own = check_fields([(name, b"") for name in names], TRAILERS).own
    if size > MAX_SIZE or names.count(TIMEOUT) > 1 or not own.keys() <= {TIMEOUT}:
        raise ValueError("unusual names")
    timeout = names.index(TIMEOUT) if TIMEOUT in names else None
    return Names(names, size, timeout, any(name.endswith(b"-bin") for name in names))


@lru_cache
def _have(names: tuple[bytes, ...], prefix: bytes) -> bool:
    """Whether the name of metadata starts with this prefix."""
    return any(name.startswith(prefix) for name in names if name != TIMEOUT)


@lru_cache
def _place(names: tuple[bytes, ...], wanted: tuple[bytes, ...]) -> int:
    """Where `Request.lone_text` finds what it is asked for; negative if there is no such place."""
    found = [place for place, name in enumerate(names) if name in wanted]
    alone = len(found) == 1 and names[found[0]] == wanted[0]
    return found[0] if alone else _SEVERAL if found else _NONE


class Undecoded(Request):
    """A request like another one, but for its timeout and its metadata.

    Args:
        like: The other request.
        timeout: See `Request`.
        names: The names of its own fields,
        values: and their values.

    Raises:
        ValueError: A binary value is not base64.
    """

    __slots__ = ("_decoded", "_names", "_values")

    def __init__(self, like: Request, timeout: float | None, names: Names, values: Sequence[bytes]) -> None:
        self.path = like.path
        self.scheme = like.scheme
        self.authority = like.authority
        self.timeout = timeout
        self.encoding = like.encoding
        self.user_agent = like.user_agent
        self.content_type = like.content_type
        self.accept_encoding = like.accept_encoding
        self._names = names
        self._values = values
        self._decoded: Metadata | None = self._decode() if names.binary else None

    def _decode(self) -> Metadata:
        fields = zip(self._names.names, self._values, strict=True)
        return decode_metadata(field for field in fields if field[0] != TIMEOUT)

    @property
    def metadata(self) -> Metadata:
        """See `Request`."""
        if self._decoded is None:
            self._decoded = self._decode()
        return self._decoded

    @metadata.setter
    def metadata(self, metadata: Metadata) -> None:
        self._decoded = metadata

    def has_metadata(self, prefix: str) -> bool:
        """See `Request`; decodes nothing."""
        return _have(self._names.names, prefix.encode())

    def lone_text(self, names: tuple[bytes, ...]) -> bytes | None:
        """See `Request`; decodes nothing."""
        place = _place(self._names.names, names)
        if place >= 0:
            return self._values[place]
        return b"" if place == _NONE else None

    def __eq__(self, other: object) -> bool:
        names = Request.__match_args__
        return isinstance(other, Request) and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # As in `Request`, which can be changed.


_starts: dict[tuple[Field, ...], Start | None] = {}  # None for starts that are valid only with the rest.


def recognise(fields: Sequence[Field], max_size: int) -> Request | None:
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
        names, values = zip(*rest, strict=True) if rest else ((), ())
    if not names:
        return start.request if start.size <= max_size else None
    joined = b"".join(values)
    try:
        own = _read_names(names)
        if start.size + own.size + len(joined) > max_size or _NUL in joined or _LF in joined or _CR in joined:
            return None
        timeout = None if own.timeout is None else decode_timeout(values[own.timeout])
        return Undecoded(start.request, timeout, own, values)
    except (ValueError, MalformedError):
        return None


def remember(fields: Sequence[Field]) -> None:
    """Recognise requests that start like this valid one from now on."""
    start, _ = _split(fields)
    size = list_size(start)
    if start in _starts or size > MAX_SIZE:
        return
    if len(_starts) >= MAX_STARTS:
        _starts.clear()
    _starts[start] = None
    with suppress(MalformedError):
        request = parse_request(check_request(start), MAX_SIZE)
        if isinstance(request, Request):
            _starts[start] = Start(size, request)


def _split(fields: Iterable[Field]) -> tuple[tuple[Field, ...], list[Field]]:
    """The start of a request, and the other fields. The timeout may stand within the start, where gRPC wants it."""
    start: list[Field] = []
    rest: list[Field] = []
    continues = _REPEATED  # The names that continue the start.
    for field in fields:
        if field[0] in continues:
            start.append(field)
        else:
            continues = _USUAL if field[0] == TIMEOUT and not rest else _NO_NAMES
            rest.append(field)
    return tuple(start), rest
