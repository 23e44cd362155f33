"""Encodes the header blocks of requests, and remembers the part that all calls of a method share.

Only the timeout and the metadata differ between calls, and stand at the end. The other fields are encoded once, and
again after HPACK's table has changed: until then, a block that consists only of indices can be reused.
"""

from typing import Final, NamedTuple

from echo.wire.head import Request
from echo.wire.hpack import Encoder, list_size
from echo.wire.representations import only_indices, survey
from echo.wire.status import GRPCError, Status

MAX_KNOWN: Final = 256  # How many methods are remembered.

# A literal that is never indexed, and not in Huffman code: a few bytes more, and less time on both sides. Our server
# reads a head in a sixth of the time if only plain literals follow a known start.
_TIMEOUT: Final = b"\x10\x0cgrpc-timeout%c%b"


class _Common(NamedTuple):
    """The encoded fields that all requests of a method share.

    Attributes:
        block: The fields.
        size: Their size, as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 §6.5.2).
    """

    block: bytes
    size: int


class RequestHeads:
    """Encodes the requests of one connection.

    Args:
        encoder: The connection's encoder. Blocks must be sent in the order in which they are encoded.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[str | None, ...], _Common] = {}  # Valid until HPACK's table changes.

    def encode(self, request: Request, max_size: int) -> bytes:
        """Encode a request as a header block.

        Args:
            request: The request.
            max_size: The largest header list that the peer accepts.

        Raises:
            ValueError, TypeError: The metadata cannot be sent.
            GRPCError: RESOURCE_EXHAUSTED: The header list is too large.
        """
        encoder = self._encoder
        if encoder.resizes:
            self._known.clear()
        path, scheme, authority = request.path, request.scheme, request.authority
        key = (path, scheme, authority, request.encoding, request.content_type, request.user_agent)
        common = self._known.get(key)
        if common is not None and request.timeout is None and not request.metadata and common.size <= max_size:
            return common.block
        shared = request.common_fields() if common is None else ()
        timeout, metadata = request.own_fields()
        common_size = common.size if common is not None else list_size(shared)
        size = common_size + list_size(timeout) + list_size(metadata) if timeout or metadata else common_size
        if size > max_size:
            text = f"request metadata of {size} bytes exceeds the peer's limit of {max_size}"
            raise GRPCError(Status.RESOURCE_EXHAUSTED, text)
        # In sending order, since each piece may change the table for the next.
        first = encoder.encode(shared) if common is None else common.block
        third = encoder.encode(metadata) if metadata else b""
        if (common is None and _enters_table(first)) or (third and _enters_table(third)):
            self._known.clear()
        elif common is None and only_indices(first):
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = _Common(first, common_size)
        if not timeout:
            return first + third
        value = timeout[0][1]
        return first + _TIMEOUT % (len(value), value) + third


def _enters_table(block: bytes) -> bool:
    """Whether a field of the block is added to HPACK's table."""
    return not only_indices(block) and survey(block)[1]
