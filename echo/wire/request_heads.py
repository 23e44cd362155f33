"""Encodes the header blocks of requests, and remembers the parts that all calls of a method share.

Only the timeout and the metadata differ between calls. The fields before and after the timeout are encoded once, and
again after HPACK's table has changed: until then, a block that consists only of indices can be reused.
"""

from typing import Final, NamedTuple

from echo.wire.head import Request
from echo.wire.hpack import Encoder, list_size
from echo.wire.representations import only_indices, survey
from echo.wire.status import GRPCError, Status

MAX_KNOWN: Final = 256  # How many methods are remembered.


class _Common(NamedTuple):
    """The encoded fields that all requests of a method share.

    Attributes:
        before: The fields before the timeout.
        behind: The fields after the timeout.
        whole: Both, for requests that have nothing of their own.
        size: The size of both, as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 §6.5.2).
    """

    before: bytes
    behind: bytes
    whole: bytes
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
            return common.whole
        before, behind = request.common_fields() if common is None else ((), ())
        timeout, metadata = request.own_fields()
        common_size = common.size if common is not None else list_size(before) + list_size(behind)
        size = common_size + list_size(timeout) + list_size(metadata) if timeout or metadata else common_size
        if size > max_size:
            text = f"request metadata of {size} bytes exceeds the peer's limit of {max_size}"
            raise GRPCError(Status.RESOURCE_EXHAUSTED, text)
        # In sending order, since each piece may change the table for the next.
        first = encoder.encode(before) if common is None else common.before
        second = encoder.encode(timeout) if timeout else b""
        third = encoder.encode(behind) if common is None else common.behind
        fourth = encoder.encode(metadata) if metadata else b""
        if (common is None and _enters_table(first + third)) or (fourth and _enters_table(fourth)):
            self._known.clear()
        elif common is None and only_indices(first + third):
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = _Common(first, third, first + third, common_size)
        return first + second + third + fourth


def _enters_table(block: bytes) -> bool:
    """Whether a field of the block is added to HPACK's table."""
    return not only_indices(block) and survey(block)[1]
