"""The client's payloads <-> protobuf's binary form, which is what the server receives.

``proto`` works for any method. ``json`` is protobuf's JSON mapping; it needs the method's descriptor, and has those in
``echo/pb/descriptors.binpb``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Protocol

import msgspec
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodOptions
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, Parse, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from echo.rpc import GRPCError, Status


class Codec(Protocol):
    """Converts the messages of one method."""

    def decode(self, payload: bytes) -> bytes:
        """Convert the client's message to binary form.

        Raises:
            GRPCError: INVALID_ARGUMENT: the message is invalid.
        """

    def encode(self, message: bytes) -> bytes:
        """Convert the server's message to the client's format.

        Raises:
            GRPCError: INTERNAL: the message is invalid.
        """


class Proto:
    """Binary form, passed through unchanged; the server and the client check the contents."""

    def decode(self, payload: bytes) -> bytes:
        """Return the payload unchanged."""
        return payload

    def encode(self, message: bytes) -> bytes:
        """Return the message unchanged."""
        return message


@dataclass(frozen=True, slots=True)
class Json:
    """Protobuf's JSON mapping of one method's messages; unknown fields are ignored."""

    request: Descriptor
    response: Descriptor

    def decode(self, payload: bytes) -> bytes:
        """JSON to binary."""
        message = GetMessageClass(self.request)()
        try:
            Parse(payload, message, ignore_unknown_fields=True, descriptor_pool=_pool())
            return message.SerializeToString()
        except (ParseError, ValueError, RecursionError) as error:
            text = f"the message is not valid JSON for {self.request.full_name}: {str(error)[:200]}"
            raise GRPCError(Status.INVALID_ARGUMENT, text) from None

    def encode(self, message: bytes) -> bytes:
        """Binary to JSON: compact, text unescaped."""
        try:
            found = GetMessageClass(self.response).FromString(message)
            return msgspec.json.encode(MessageToDict(found, descriptor_pool=_pool()))
        except (DecodeError, TypeError, ValueError) as error:
            raise GRPCError(
                Status.INTERNAL, f"the server's message is not a valid {self.response.full_name}"
            ) from error


PROTO: Final = Proto()


def codec_for(name: str, path: str) -> Codec:
    """The codec named ``proto`` or ``json`` for the method at this path.

    Raises:
        GRPCError: UNIMPLEMENTED: JSON was requested, and the method's messages are unknown.
    """
    if name == "proto":
        return PROTO
    method = method_at(path)
    if method is None:
        raise GRPCError(
            Status.UNIMPLEMENTED, f"{path[:200]}: unknown method, or its messages have no JSON mapping here"
        )
    return Json(method.input_type, method.output_type)


def method_at(path: str) -> MethodDescriptor | None:
    """The descriptor of the method ``/package.Service/Method``; None if it is unknown."""
    service, _, name = path.removeprefix("/").partition("/")
    try:
        method: MethodDescriptor = _pool().FindServiceByName(service).FindMethodByName(name)
    except KeyError:
        return None
    return method


def known_methods() -> Iterable[str]:
    """All that something is known of, as ``/package.Service/Method``."""
    for file in _files():
        for service in file.service:
            for method in service.method:
                yield f"/{file.package}.{service.name}/{method.name}"


def is_unary(method: MethodDescriptor) -> bool:
    """Whether the method takes one message and returns one."""
    return not (method.client_streaming or method.server_streaming)


def has_no_side_effects(method: MethodDescriptor) -> bool:
    """Whether the method is declared free of side effects, so that GET may call it."""
    level: int = method.GetOptions().idempotency_level
    return level == MethodOptions.NO_SIDE_EFFECTS


@cache
def _pool() -> DescriptorPool:
    """Our descriptors in a separate pool: the process may have others with the same names."""
    pool = DescriptorPool()
    for file in _files():
        pool.Add(file)
    return pool


def _files() -> Sequence[FileDescriptorProto]:
    return FileDescriptorSet.FromString(files("echo.pb").joinpath("descriptors.binpb").read_bytes()).file
