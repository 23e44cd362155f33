"""Messages to bytes and back: grpclib's codec interface, and the errors a call ends with when it fails.

A message class is anything with ``SerializeToString`` and ``FromString``: betterproto's and protobuf's own alike, so
that grpclib's reflection service, written with the latter, serves beside betterproto's classes.
"""

import logging
from typing import TypeVar

from grpclib.encoding.base import CodecBase
from grpclib.encoding.proto import ProtoCodec

from echo.wire.status import GRPCError, Status

log = logging.getLogger(__name__)

MessageT = TypeVar("MessageT")

DEFAULT_CODEC = ProtoCodec()


def decode(codec: CodecBase, data: bytes, message_type: type[MessageT]) -> MessageT:
    """Make a message of the bytes the peer sent.

    Raises:
        GRPCError: INTERNAL: they are no such message.
    """
    try:
        message: MessageT = codec.decode(data, message_type)
    except Exception as error:  # A codec may raise anything for bytes that are no message.
        log.debug("message of %d bytes is no %s", len(data), message_type.__name__, exc_info=error)
        raise GRPCError(Status.INTERNAL, f"the message is no valid {message_type.__name__}") from error
    return message
