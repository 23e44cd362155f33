"""Messages to bytes and back: grpclib's codec interface, and the errors a call ends with when it fails.

A message class is anything with ``SerializeToString`` and ``FromString``: betterproto's and protobuf's own alike, so
that grpclib's reflection service, written with the latter, serves beside betterproto's classes. betterproto's are
specialised when they are first met (`echo.rpc.specialise`).
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from grpclib.encoding.base import CodecBase

from echo.rpc.specialise import Specialised, specialise
from echo.wire.status import GRPCError, Status

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
        if not isinstance(message, message_type):
            raise TypeError(f"the message must be a {message_type.__name__}, not a {type(message).__name__}")
        return self._of(type(message)).encode(message)

    def decode(self, data: bytes, message_type: type[MessageT]) -> MessageT:
        """The message of these bytes; raises whatever the class raises for bytes that are none."""
        message: MessageT = self._of(message_type).decode(data)
        return message

    def _of(self, message_type: type) -> Specialised:
        try:
            return self._classes[message_type]
        except KeyError:
            made = specialise(message_type) or _plain(message_type)
            self._classes[message_type] = made
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
        raise GRPCError(Status.INTERNAL, f"the message is no valid {message_type.__name__}") from error
    return message
