"""Creates message classes of protobuf's C library (upb) from betterproto's field descriptions."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

# betterproto's type names to protobuf's types. `float` is missing because the two round it differently; enumerations
# are int32 on the wire.
TYPES: Final[Mapping[str, "FieldDescriptorProto.Type.ValueType"]] = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "enum": FieldDescriptorProto.TYPE_INT32,
    "fixed32": FieldDescriptorProto.TYPE_FIXED32,
    "fixed64": FieldDescriptorProto.TYPE_FIXED64,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "sfixed32": FieldDescriptorProto.TYPE_SFIXED32,
    "sfixed64": FieldDescriptorProto.TYPE_SFIXED64,
    "sint32": FieldDescriptorProto.TYPE_SINT32,
    "sint64": FieldDescriptorProto.TYPE_SINT64,
    "string": FieldDescriptorProto.TYPE_STRING,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
}


class Field(NamedTuple):
    """A singular field.

    Attributes:
        name: The field's name.
        number: The field's number.
        proto_type: A key of `TYPES`.
        presence: Whether a default value that was sent differs from a missing one.
    """

    name: str
    number: int
    proto_type: str
    presence: bool


_packages = count()


def upb_class(name: str, fields: Sequence[Field]) -> type[Message]:
    """Create a class with this name and these fields, in its own descriptor pool."""
    package = f"echo.specialised.p{next(_packages)}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    message = file.message_type.add(name=name)
    for field in fields:
        described = message.field.add(
            name=field.name,
            number=field.number,
            type=TYPES[field.proto_type],
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )
        if field.presence:  # proto3's `optional`: a oneof of one.
            described.proto3_optional = True
            described.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


def parse(upb: type[Message], data: bytes) -> Message:
    """Decode a message.

    Raises:
        ValueError: The bytes are invalid.
    """
    try:
        return upb.FromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error


def unknown_fields(message: Message) -> bytes:
    """The encoded fields that the class does not know. If there are any, the known fields are cleared."""
    if not len(UnknownFieldSet(message)):
        return b""
    for field, _ in message.ListFields():
        message.ClearField(field.name)
    return message.SerializeToString()
