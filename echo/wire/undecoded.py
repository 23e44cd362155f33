"""A received request whose metadata is decoded when it is first asked for: most handlers never ask."""

from collections.abc import Container, Sequence
from typing import Final

from echo.wire.head import Request
from echo.wire.hpack import Field
from echo.wire.metadata import Metadata, decode_metadata

TIMEOUT: Final = b"grpc-timeout"


class Names:
    """The names of a timeout and of metadata without binary values: text can always be decoded. Requests share them.

    Attributes:
        names: The names.
        size: Their share of the header list's size (RFC 9113 §6.5.2).
        timeout: Which of them is the timeout, or None.
        prefixes: For each prefix asked about, whether a name of metadata starts with it. Peers cannot add prefixes.
    """

    __slots__ = ("names", "prefixes", "size", "timeout")

    def __init__(self, names: tuple[bytes, ...], size: int) -> None:
        self.names = names
        self.size = size
        self.timeout = names.index(TIMEOUT) if TIMEOUT in names else None
        self.prefixes: dict[str, bool] = {}

    def have(self, prefix: str) -> bool:
        """Find out whether the name of metadata starts with this prefix."""
        octets = prefix.encode()
        self.prefixes[prefix] = found = any(name.startswith(octets) for name in self.names if name != TIMEOUT)
        return found


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
        found = self._names.prefixes.get(prefix)
        return self._names.have(prefix) if found is None else found

    def named(self, names: Container[bytes]) -> Sequence[Field]:
        """See `Request`; decodes nothing."""
        if self._decoded is not None:
            return super().named(names)
        fields = zip(self._names.names, self._values, strict=True)
        return [(name, value.strip(b" \t")) for name, value in fields if name in names]

    def __eq__(self, other: object) -> bool:
        names = Request.__match_args__
        return isinstance(other, Request) and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # As in `Request`, which can be changed.
