"""Encodes the header blocks of requests. Only the timeout and the metadata differ between a method's calls; both follow
the fields that all of them share, which are constants to the encoder.
"""

from typing import Final

from echo.wire.head import Request
from echo.wire.header_lists import Field, list_size
from echo.wire.hpack import Encoder
from echo.wire.metadata import encode_metadata
from echo.wire.status import GRPCError, Status
from echo.wire.timeout import encode_timeout

MAX_KNOWN: Final = 256  # How many methods are remembered,
MAX_KNOWN_SIZE: Final = 1_024  # each with fields of at most this size.

# A literal that is never indexed, and not in Huffman code: a few bytes more, and less time on both sides. Our server
# reads a head in a sixth of the time if only plain literals follow a known start.
_TIMEOUT: Final = b"\x10\x0cgrpc-timeout%c%b"


class RequestHeads:
    """Encodes the requests of one connection.

    Args:
        encoder: The connection's encoder. Blocks must be sent in the order in which they are encoded.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[str | None, ...], tuple[tuple[Field, ...], int]] = {}  # Shared fields and their size.

    def encode(self, request: Request, max_size: int, timeout: float | None = None) -> bytes:
        """Encode a request as a header block.

        Args:
            request: The request.
            max_size: The largest header list that the peer accepts (RFC 9113 §6.5.2).
            timeout: What is left of the request's timeout, if that is another.

        Raises:
            ValueError, TypeError: The metadata cannot be sent.
            GRPCError: RESOURCE_EXHAUSTED: The header list is too large.
        """
        path, scheme, authority = request.path, request.scheme, request.authority
        key = (path, scheme, authority, request.encoding, request.content_type, request.user_agent)
        known = self._known.get(key)
        if known is not None:
            shared, size = known
        else:
            shared = request.common_fields()
            size = list_size(shared)
            if size <= MAX_KNOWN_SIZE:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[key] = shared, size
        timed = b""
        if timeout is None:
            timeout = request.timeout
        if timeout is not None:
            value = encode_timeout(timeout).encode()
            timed = _TIMEOUT % (len(value), value)
            size += list_size(((b"grpc-timeout", value),))
        metadata = encode_metadata(request.metadata) if request.metadata else None
        if metadata is not None:
            size += list_size(metadata)
        if size > max_size:
            text = f"request metadata of {size} bytes exceeds the peer's limit of {max_size}"
            raise GRPCError(Status.RESOURCE_EXHAUSTED, text)
        # In sending order, since each piece may change HPACK's table for the next.
        block = self._encoder.encode(shared) + timed
        return block if metadata is None else block + self._encoder.encode(metadata)
