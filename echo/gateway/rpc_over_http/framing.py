"""The framing of messages in a body: gRPC-Web's and Connect's end frames, and gRPC-Web's base64. Sans-IO.

Both protocols put gRPC's five-byte prefix (flag, length) before each message, which `echo.wire.MessageDecoder` reads.
The response's end frame has a special flag, and its payload says how the call ended.
"""

import struct
from base64 import b64encode
from binascii import a2b_base64
from typing import Final

from echo.rpc import GRPCError, Status

END_STREAM: Final = 0x02
"""Connect, "Streaming Response": an EndStreamResponse."""

TRAILERS: Final = 0x80
"""gRPC-Web, "Protocol differences vs gRPC over HTTP2": trailers in the body."""

_PREFIX: Final = struct.Struct(">BI")
NOT_BASE64: Final = "the body is not base64"

_GROUP: Final = 4  # Characters of base64 that encode three bytes.


def end_frame(flag: int, payload: bytes) -> bytes:
    """The frame that says how a call ended."""
    return _PREFIX.pack(flag, len(payload)) + payload


class Base64Decoder:
    """Decodes a body of ``application/grpc-web-text``: base64 in pieces, each of which may end in padding.

    Holds at most three characters.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Decode what is complete so far.

        Raises:
            GRPCError: INVALID_ARGUMENT: the body is not base64.
        """
        data = self._rest + data
        whole = len(data) - len(data) % _GROUP
        self._rest = data[whole:]
        decoded = []
        at = 0
        try:
            while at < whole:
                padding = data.find(b"=", at, whole)
                end = whole if padding < 0 else padding - padding % _GROUP + _GROUP
                decoded.append(a2b_base64(data[at:end], strict_mode=True))
                at = end
        except ValueError:
            raise GRPCError(Status.INVALID_ARGUMENT, NOT_BASE64) from None
        return b"".join(decoded)

    def close(self) -> None:
        """Note the end of the body.

        Raises:
            GRPCError: INVALID_ARGUMENT: the body ended inside a group.
        """
        if self._rest:
            raise GRPCError(Status.INVALID_ARGUMENT, NOT_BASE64)


def encode_base64(data: bytes) -> bytes:
    """Encode a piece of such a body, padded, so that it can be decoded before the next one arrives."""
    return b64encode(data)
