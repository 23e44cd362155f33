"""A received request whose metadata is decoded when it is first asked for: most handlers never ask."""

from collections.abc import Container, Sequence

from echo.wire.head import Request
from echo.wire.hpack import Field, ReceivedField
from echo.wire.metadata import Metadata, decode_metadata


class Undecoded(Request):
    """A request like another one, but for its timeout and its metadata.

    Args:
        like: The other request.
        timeout: See `Request`.
        fields: The metadata's fields, without binary ones: text can always be decoded.
    """

    __slots__ = ("_decoded", "_fields")

    def __init__(self, like: Request, timeout: float | None, fields: Sequence[ReceivedField]) -> None:
        self.path = like.path
        self.scheme = like.scheme
        self.authority = like.authority
        self.timeout = timeout
        self.encoding = like.encoding
        self.user_agent = like.user_agent
        self.content_type = like.content_type
        self.accept_encoding = like.accept_encoding
        self._fields = fields
        self._decoded: Metadata | None = None

    @property
    def metadata(self) -> Metadata:
        """See `Request`."""
        if self._decoded is None:
            self._decoded = decode_metadata((field[0], field[1]) for field in self._fields)
            self._fields = ()
        return self._decoded

    @metadata.setter
    def metadata(self, metadata: Metadata) -> None:
        self._decoded = metadata

    def has_metadata(self, prefix: str) -> bool:
        """See `Request`; decodes nothing."""
        if self._decoded is not None:
            return super().has_metadata(prefix)
        octets, size = prefix.encode(), len(prefix)
        for field in self._fields:  # noqa: SIM110 - a generator would cost more than the rest.
            if field[0][:size] == octets:
                return True
        return False

    def named(self, names: Container[bytes]) -> Sequence[Field]:
        """See `Request`; decodes nothing."""
        if self._decoded is not None:
            return super().named(names)
        found: list[Field] = []
        for field in self._fields:
            if field[0] in names:
                found.append((field[0], field[1].strip(b" \t")))  # noqa: PERF401 - as in `has_metadata`.
        return found

    def __eq__(self, other: object) -> bool:
        names = Request.__match_args__
        return isinstance(other, Request) and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # As in `Request`, which can be changed.
