"""Makes the header blocks of requests, and remembers what comes again with every call of a method.

Only the timeout and the metadata are a call's own. The fields before and behind the timeout are encoded once, and again
when HPACK's table has changed since: a block of nothing but indices can be used again until then.
"""

from typing import Final, NamedTuple

from echo.wire.fields import list_size
from echo.wire.head import Request
from echo.wire.hpack import Encoder
from echo.wire.representations import only_indices, survey
from echo.wire.status import GRPCError, Status

MAX_KNOWN: Final = 256  # Methods that are remembered.


class _Common(NamedTuple):
    """What the requests of a method have in common, encoded.

    Attributes:
        before: What stands before the timeout,
        behind: and what stands behind it.
        size: Of both lists, as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 §6.5.2).
    """

    before: bytes
    behind: bytes
    size: int


class RequestHeads:
    """The header blocks of a connection's requests.

    Args:
        encoder: The connection's encoder. Blocks are to be sent in the order in which they are made.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[str | None, ...], _Common] = {}  # While HPACK's table does not change.

    def encode(self, request: Request, max_size: int) -> bytes:
        """Make a request's header block.

        Args:
            request: The request.
            max_size: Of its header list, as the peer has announced it.

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
            self._known[key] = _Common(first, third, common_size)
        return first + second + third + fourth


def _enters_table(block: bytes) -> bool:
    """Whether some field of the block enters HPACK's table."""
    return not only_indices(block) and survey(block)[1]
