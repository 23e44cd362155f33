"""Messages to bytes and back: grpclib's codec interface, and the errors a call ends with when it fails.

A message class is anything with ``SerializeToString`` and ``FromString``: betterproto's and protobuf's own alike, so
that grpclib's reflection service, written with the latter, serves beside betterproto's classes. betterproto's are
specialised when they are first met (`echo.rpc.specialise`).
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase

from echo.rpc.specialise import Specialised, specialise
from echo.wire import GRPCError, Status, Trailers

log = logging.getLogger(__name__)

MessageT = TypeVar("MessageT")


class _Serialisable(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802 - protobuf's name


class ProtoCodec(CodecBase):
    """Encodes and decodes messages of protobuf's, betterproto's and like classes."""

    __content_subtype__ = "proto"

    def __init__(self) -> None:
        self._classes: dict[type, Specialised] = {}

    def encode(self, message: object, message_type: type) -> bytes:
        """The message's bytes.

        Raises:
            TypeError: It is no ``message_type``.
        """
        if type(message) is not message_type and not isinstance(message, message_type):
            raise TypeError(f"the message must be a {message_type.__name__}, not a {type(message).__name__}")
        return (self._classes.get(type(message)) or self._make(type(message))).encode(message)

    def decode(self, data: bytes, message_type: type[MessageT]) -> MessageT:
        """The message of these bytes; raises whatever the class raises for bytes that are none."""
        message: MessageT = (self._classes.get(message_type) or self._make(message_type)).decode(data)
        return message

    def _make(self, message_type: type) -> Specialised:
        made = self._classes[message_type] = specialise(message_type) or _plain(message_type)
        return made


def _plain(message_type: Any) -> Specialised:
    serialise: Callable[[_Serialisable], bytes] = message_type.SerializeToString
    return Specialised(serialise, message_type.FromString)


DEFAULT_CODEC = ProtoCodec()
"""One for the whole process: what is made for a class is made once."""


def decode(codec: CodecBase, data: bytes, message_type: type[MessageT]) -> MessageT:
    """Make a message of the bytes the peer sent.

    Raises:
        GRPCError: INTERNAL: they are no such message.
    """
    try:
        message: MessageT = codec.decode(data, message_type)
    except Exception as error:
        # A codec may raise anything for bytes that are no message.
        log.debug("message of %d bytes is no %s", len(data), message_type.__name__, exc_info=error)
        raise GRPCError(Status.INTERNAL, f"the message is not a valid {message_type.__name__}") from error
    return message


def decode_details(codec: StatusDetailsCodecBase | None, trailers: Trailers) -> object:
    """What came as ``grpc-status-details-bin``: by the codec if there is one, else the bytes.

    None also for details that the codec cannot read: what the server says of its status stands without them.
    """
    if codec is None or trailers.details is None:
        return trailers.details
    try:
        return codec.decode(trailers.status, trailers.message, trailers.details)
    except Exception as error:
        log.debug("status details of %d bytes cannot be decoded", len(trailers.details), exc_info=error)
        return None
