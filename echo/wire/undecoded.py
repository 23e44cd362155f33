"""A received request whose metadata is decoded when it is first asked for: most handlers never ask."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from echo.wire.head import Request
from echo.wire.metadata import Metadata, decode_metadata

TIMEOUT: Final = b"grpc-timeout"

_NONE, _SEVERAL = -1, -2  # See `_place`.


class Names(NamedTuple):
    """The names of a timeout and of metadata without binary values: text can always be decoded. Requests share them.

    Attributes:
        names: The names.
        size: Their share of the header list's size (RFC 9113 §6.5.2).
        timeout: Which of them is the timeout, or None.
    """

    names: tuple[bytes, ...]
    size: int
    timeout: int | None


# Both remember their answers: the same is asked of each request.
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
        self._decoded: Metadata | None = None

    @property
    def metadata(self) -> Metadata:
        """See `Request`."""
        if self._decoded is None:
            fields = zip(self._names.names, self._values, strict=True)
            self._decoded = decode_metadata(field for field in fields if field[0] != TIMEOUT)
            self._values = ()
        return self._decoded

    @metadata.setter
    def metadata(self, metadata: Metadata) -> None:
        self._decoded = metadata

    def has_metadata(self, prefix: str) -> bool:
        """See `Request`; decodes nothing."""
        if self._decoded is not None:
            return super().has_metadata(prefix)
        return _have(self._names.names, prefix.encode())

    def lone_text(self, names: tuple[bytes, ...]) -> bytes | None:
        """See `Request`; decodes nothing."""
        if self._decoded is not None:
            return super().lone_text(names)
        place = _place(self._names.names, names)
        if place >= 0:
            return self._values[place]
        return b"" if place == _NONE else None

    def __eq__(self, other: object) -> bool:
        names = Request.__match_args__
        return isinstance(other, Request) and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # As in `Request`, which can be changed.
