"""What lies around messages in a body: prefixes, gRPC-Web's and Connect's last frames, and gRPC-Web's base64. Sans-IO.

Both protocols put gRPC's five bytes before each message (flags, length), which `echo.wire.MessageDecoder` takes off.
The response's last frame has a flag of its own: its payload tells how the call ended.
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

_GROUP: Final = 4  # Characters of base64 that stand for three bytes.


def last_frame(flag: int, payload: bytes) -> bytes:
    """The frame that tells how a call ended."""
    return _PREFIX.pack(flag, len(payload)) + payload


class Base64Decoder:
    """A body of ``application/grpc-web-text``: base64 in pieces, each of which may end in padding.

    Holds at most three characters.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What can be decoded by now.

        Raises:
            GRPCError: INVALID_ARGUMENT: it is no base64.
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
        """The body has ended.

        Raises:
            GRPCError: INVALID_ARGUMENT: within a group.
        """
        if self._rest:
            raise GRPCError(Status.INVALID_ARGUMENT, NOT_BASE64)


def encode_base64(data: bytes) -> bytes:
    """A piece of such a body, with its padding, so that it can be read before the next one comes."""
    return b64encode(data)
