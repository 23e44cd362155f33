"""Messages to bytes and back: grpclib's codec interface, and the errors that calls end with when decoding fails.

A message class is any class with ``SerializeToString`` and ``FromString``, so betterproto's and protobuf's classes both
work; grpclib's reflection service uses the latter. betterproto's classes are specialised on first use
(`echo.rpc.specialise`).
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase

from echo.rpc.specialised import Specialised
from echo.wire import GRPCError, Status, Trailers

log = logging.getLogger(__name__)

MessageT = TypeVar("MessageT")


class _Serialisable(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802 - protobuf's name


class ProtoCodec(CodecBase):
    """Encodes and decodes messages of protobuf's, betterproto's and similar classes."""

    __content_subtype__ = "proto"

    def __init__(self) -> None:
        self._classes: dict[type, Specialised] = {}

    def encode(self, message: object, message_type: type) -> bytes:
        """Encode a message.

        Raises:
            TypeError: The message is not a ``message_type``.
        """
        if type(message) is not message_type and not isinstance(message, message_type):
            raise TypeError(f"the message must be of the class {message_type.__name__}, not {type(message).__name__}")
        return self.functions(type(message)).encode(message)

    def decode(self, data: bytes, message_type: type[MessageT]) -> MessageT:
        """Decode a message; raises the class's own error for bytes that it cannot decode."""
        message: MessageT = self.functions(message_type).decode(data)
        return message

    def functions(self, message_type: type) -> Specialised:
        """The functions for a class; ``encode`` takes messages of just this class.

        Raises:
            TypeError: It is not a class of messages.
        """
        return self._classes.get(message_type) or self._specialised(message_type)

    def _specialised(self, message_type: type) -> Specialised:
        from echo.rpc.specialise import specialise  # noqa: PLC0415 - It loads protobuf, which takes a while.

        if not isinstance(message_type, type):
            raise TypeError(f"{message_type!r} is not a class of messages")
        made = self._classes[message_type] = specialise(message_type) or _own_methods(message_type)
        return made


def _own_methods(message_type: Any) -> Specialised:
    if not (hasattr(message_type, "SerializeToString") and hasattr(message_type, "FromString")):
        raise TypeError(
            f"{message_type.__name__} is not a class of messages: it has no SerializeToString and FromString"
        )
    serialise: Callable[[_Serialisable], bytes] = message_type.SerializeToString
    return Specialised(serialise, message_type.FromString)


DEFAULT_CODEC = ProtoCodec()
"""Shared by the whole process, so that each class is specialised once."""


def functions(codec: CodecBase, message_type: type) -> Specialised:
    """A codec's functions for messages of just this class, so that neither has to be looked up for each message.

    Raises:
        TypeError: It is not a class of messages.
    """
    return codec.functions(message_type) if type(codec) is ProtoCodec else own_functions(codec, message_type)


def own_functions(codec: CodecBase, message_type: type) -> Specialised:
    """A codec's own functions with this class as their second argument."""
    return Specialised(
        lambda message: codec.encode(message, message_type), lambda data: codec.decode(data, message_type)
    )


def decode(function: Callable[[bytes], MessageT], data: bytes, message_type: type) -> MessageT:
    """Decode a message from the peer by a codec's function.

    Raises:
        GRPCError: INTERNAL: the bytes are not a valid ``message_type``.
    """
    try:
        return function(data)
    except Exception as error:
        raise invalid(data, message_type, error) from error


def invalid(data: bytes, message_type: type, error: Exception) -> GRPCError:
    """What a call ends with, INTERNAL, when decoding raises an error. A codec may raise any for invalid bytes."""
    log.debug("message of %d bytes is not a valid %s", len(data), message_type.__name__, exc_info=error)
    return GRPCError(Status.INTERNAL, f"the message is not a valid {message_type.__name__}")


def decode_details(codec: StatusDetailsCodecBase | None, trailers: Trailers) -> object:
    """Decode ``grpc-status-details-bin`` with the codec, or return the bytes if there is none.

    Returns None for details that the codec cannot decode; the status and its message remain valid without them.
    """
    if codec is None or trailers.details is None:
        return trailers.details
    try:
        return codec.decode(trailers.status, trailers.message, trailers.details)
    except Exception as error:
        log.debug("status details of %d bytes cannot be decoded", len(trailers.details), exc_info=error)
        return None
