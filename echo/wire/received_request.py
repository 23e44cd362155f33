"""Reads a request's header list (gRPC over HTTP/2, "Requests"), most of it once for many calls.

A client's calls of one method start with the same fields: pseudo-header fields, then te, content-type and user-agent.
Fields that differ follow: the timeout, which may also stand right behind the pseudo-header fields, and metadata. So a
start is checked and parsed once, and recognised afterwards. So are the names behind it. Of their values, only the
characters are checked; text is decoded when a handler asks for it. Malformed or unusual requests are read as a whole:
`echo.wire.fields` says what is wrong, and `parse_request` what to answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Final, NamedTuple

from echo.wire.errors import MalformedError
from echo.wire.fields import TRAILERS, FieldList, check_fields, check_request
from echo.wire.head import CONTENT_TYPE, ENCODINGS, Request, Trailers, message_format
from echo.wire.header_lists import FIELD_OVERHEAD, Field, Recurring, Started, list_size
from echo.wire.metadata import Metadata, decode_metadata
from echo.wire.status import Status, encode_status_message
from echo.wire.timeout import decode_timeout

MAX_STARTS: Final = 256  # Starts remembered in the whole process.
MAX_NAMES: Final = 256  # The same of what follows them.
MAX_SIZE: Final = 1_024  # The largest of either remembered, as SETTINGS_MAX_HEADER_LIST_SIZE counts it.

TIMEOUT: Final = b"grpc-timeout"
_USUAL: Final = frozenset({b"te", b"content-type", b"user-agent", b"grpc-encoding", b"grpc-accept-encoding"})
_REPEATED: Final = _USUAL | {b":method", b":scheme", b":path", b":authority"}
_NUL: Final = 0  # Integers, as it takes less to find an integer in bytes than to find bytes.
_LF: Final = 10
_CR: Final = 13


class ReceivedRequest(Request):
    """A request as a server gets it. Its metadata is decoded when somebody asks for it.

    Args:
        like: A request that is the same, but for its timeout and its metadata.
        timeout: See `Request`.
        names: The names of its own fields: of its metadata, and maybe of its timeout.
        values: The values of these fields.
        binary: Whether some of them may be binary; these are decoded now. Text can always be decoded.

    Raises:
        ValueError: A binary value is not base64.
    """

    __slots__ = ("_decoded", "_names", "_values")

    def __init__(
        self, like: Request, timeout: float | None, names: tuple[bytes, ...], values: Sequence[bytes], binary: bool
    ) -> None:
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
        self._decoded: Metadata | None = self._decode() if binary else None

    def _decode(self) -> Metadata:
        fields = zip(self._names, self._values, strict=True)
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
        """Whether a name in the metadata starts with this prefix. Decodes nothing."""
        return bool(self._names) and _have(self._names, prefix.encode())

    def lone_text(self, names: tuple[bytes, ...]) -> bytes | None:
        """The text in the metadata under the first of these names, as it was received. Decodes nothing.

        Returns:
            Empty bytes if the metadata has none of these names; None if it has another one of them, or several fields.
        """
        fields = [field for field in zip(self._names, self._values, strict=True) if field[0] in names]
        if not fields:
            return b""
        name, value = fields[0]
        return value if len(fields) == 1 and name == names[0] else None


# These three remember their answers: the same is asked of each request.
@lru_cache
def _have(names: tuple[bytes, ...], prefix: bytes) -> bool:
    """Whether the name of metadata starts with this prefix."""
    return any(name.startswith(prefix) for name in names if name != TIMEOUT)


class Start(NamedTuple):
    """The start of a request: the size of its fields, and the request that they make."""

    size: int
    request: ReceivedRequest


class Names(NamedTuple):
    """The names of a timeout and of metadata.

    Attributes:
        size: Their share of the header list's size (RFC 9113 §6.5.2).
        timeout: Which of them is the timeout, or None.
        binary: Whether there are binary values.
    """

    size: int
    timeout: int | None
    binary: bool


@lru_cache(MAX_STARTS)
def _read_start(fields: tuple[Field, ...]) -> Start | None:
    """Check and parse the start of a request; None if it is no request without the rest.

    Raises:
        ValueError: It is too large to be remembered.
    """
    size = list_size(fields)
    if size > MAX_SIZE:
        raise ValueError("a large start")
    try:
        request = parse_request(check_request(fields), MAX_SIZE)
    except MalformedError:
        return None
    return Start(size, request) if isinstance(request, ReceivedRequest) else None


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
    return Names(size, timeout, any(name.endswith(b"-bin") for name in names))


def recognise(fields: Sequence[Field], max_size: int) -> ReceivedRequest | None:
    """Read a request's head by its start and its names; None if it is too large, malformed or unusual.

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
    try:
        if type(start) is not Start:
            first, rest = _split(fields)
            start = _read_start(first)
            if start is None:
                return None
            if type(recurring) is Recurring and len(recurring) == len(first):
                recurring.meaning = start
            names, values = zip(*rest, strict=True) if rest else ((), ())
        if not names:
            return start.request if start.size <= max_size else None
        joined = b"".join(values)
        own = _read_names(names)
        if start.size + own.size + len(joined) > max_size or _NUL in joined or _LF in joined or _CR in joined:
            return None
        timeout = None if own.timeout is None else decode_timeout(values[own.timeout])
        return ReceivedRequest(start.request, timeout, names, values, own.binary)
    except (ValueError, MalformedError):
        return None


def _split(fields: Iterable[Field]) -> tuple[tuple[Field, ...], list[Field]]:
    """The start of a request, and the other fields. The timeout may stand within the start, where gRPC wants it."""
    start: list[Field] = []
    rest: list[Field] = []
    continues = _REPEATED  # The names that continue the start.
    for field in fields:
        if field[0] in continues:
            start.append(field)
        else:
            continues = _USUAL if field[0] == TIMEOUT and not rest else frozenset()
            rest.append(field)
    return tuple(start), rest


@dataclass(slots=True)
class Rejected:
    """A request that cannot be served.

    Attributes:
        trailers: The reason, as a gRPC status.
        head: For a request that is not gRPC, the head of an answer in plain HTTP,
        body: and its body, a readable text.
    """

    trailers: Trailers
    head: Sequence[Field] = ()
    body: bytes = b""


def parse_request(received: FieldList, max_size: int) -> ReceivedRequest | Rejected:
    """Read a request's header list, of at most ``max_size`` (RFC 9113 §6.5.2).

    The answer is HTTP 405 or 415 for a request that is not gRPC (gRPC over HTTP/2, "Requests"), a status for a gRPC
    request that cannot be served.
    """
    if received.size > max_size:
        text = f"request metadata of {received.size} bytes exceeds the limit of {max_size}"
        return _refused(Status.RESOURCE_EXHAUSTED, text)
    pseudo = received.pseudo
    names = received.own
    method = pseudo[b":method"]
    if method != b"POST":
        return _not_grpc(method, 405, Status.INTERNAL, "calls use the method POST")
    content_type = names.get(b"content-type", b"").decode("latin-1")
    subtype = "" if content_type == CONTENT_TYPE else message_format(content_type)
    if subtype is None:
        return _not_grpc(method, 415, Status.UNKNOWN, f"content-type {content_type[:64]!r} is not {CONTENT_TYPE}")
    if subtype not in ("", "proto"):
        return _refused(Status.UNIMPLEMENTED, f"messages in the format {subtype[:64]!r} are not supported")
    encoding = ENCODINGS.get(names.get(b"grpc-encoding", b"identity"))
    if encoding is None:
        asked = names[b"grpc-encoding"][:64].decode("latin-1")
        return _refused(Status.UNIMPLEMENTED, f"grpc-encoding {asked!r} is not supported")
    timeout = names.get(TIMEOUT)
    user_agent = names.get(b"user-agent")
    # Interned, so that many similar idle streams share one copy of each string.
    request = Request(
        intern(pseudo[b":path"].decode("latin-1")),
        intern(pseudo[b":scheme"].decode("latin-1")),
        intern(pseudo.get(b":authority", b"").decode("latin-1")),
        encoding=encoding,
        user_agent=None if user_agent is None else intern(user_agent.decode("latin-1")),
        content_type=intern(content_type),
        accept_encoding=intern(names.get(b"grpc-accept-encoding", b"").decode("latin-1")),
    )
    try:
        return _with(request, None if timeout is None else decode_timeout(timeout), received.custom)
    except ValueError as error:
        return _refused(Status.INTERNAL, str(error))


def _with(like: Request, timeout: float | None, metadata: Sequence[Field]) -> ReceivedRequest:
    names, values = zip(*metadata, strict=True) if metadata else ((), ())
    return ReceivedRequest(like, timeout, names, values, True)


def _refused(status: Status, message: str) -> Rejected:
    return Rejected(Trailers(status, message))


def _not_grpc(method: bytes, http_status: int, code: Status, text: str) -> Rejected:
    """An answer in plain HTTP for browsers and curl; its ``grpc-status`` serves gRPC clients."""
    status = (b"grpc-status", b"%d" % code.value)
    message = (b"grpc-message", encode_status_message(text))
    head = [(b":status", b"%d" % http_status), (b"content-type", b"text/plain; charset=utf-8"), status, message]
    body = b"" if method == b"HEAD" else f"This port speaks gRPC: {text}.\n".encode()
    return Rejected(Trailers(code, f"HTTP {http_status}: {text}"), head, body)


def read_refused(received: FieldList) -> ReceivedRequest:
    """The parts of a refused request that a log may show: its path and its text metadata."""
    text = [field for field in received.custom if not field[0].endswith(b"-bin")]
    return _with(Request(received.pseudo.get(b":path", b"").decode("latin-1")), None, text)
