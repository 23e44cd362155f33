"""betterproto's messages at protobuf's speed, for the classes that allow it.

betterproto's dataclasses are what services and callers see and build, and stay it. But they interpret their field
descriptions anew for every message: building, encoding and decoding one of five fields takes 26, 42 and 95 microseconds
where protobuf's own C library (upb) needs one. So for a class of plain fields `specialise` makes

- an equivalent upb class, with explicit presence for every field, which does the wire format;
- ``encode`` and ``decode``, generated for the class's fields, which move the values across;
- an ``__init__`` and a ``__getattribute__`` for the class itself that leave a message in the very state betterproto's
  own leave it in: the same ``__dict__``, so that everything else of betterproto goes on working.

Classes with anything but singular scalars and enumerations are left alone (`specialise` gives None for them). What is
decoded equals what betterproto decodes for everything that a protobuf encoder writes; of bytes that are no message,
betterproto takes some and makes garbage of them, where upb refuses.

betterproto is not imported here: a message class brings all that is needed.
"""

import dataclasses
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final, NamedTuple, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

# betterproto's names for types to protobuf's. Of `float` the two round differently, so it is not here; enumerations are
# int32 on the wire.
_TYPES: Final[Mapping[str, "Field.Type.ValueType"]] = {
    "bool": Field.TYPE_BOOL,
    "bytes": Field.TYPE_BYTES,
    "double": Field.TYPE_DOUBLE,
    "enum": Field.TYPE_INT32,
    "fixed32": Field.TYPE_FIXED32,
    "fixed64": Field.TYPE_FIXED64,
    "int32": Field.TYPE_INT32,
    "int64": Field.TYPE_INT64,
    "sfixed32": Field.TYPE_SFIXED32,
    "sfixed64": Field.TYPE_SFIXED64,
    "sint32": Field.TYPE_SINT32,
    "sint64": Field.TYPE_SINT64,
    "string": Field.TYPE_STRING,
    "uint32": Field.TYPE_UINT32,
    "uint64": Field.TYPE_UINT64,
}


class Specialised(NamedTuple):
    """What is made for a class. ``decode`` raises ValueError for bytes that are no message."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


class _FieldMeta(Protocol):
    """betterproto's ``FieldMetadata``, as far as it is needed here."""

    number: int
    proto_type: str
    group: str | None
    wraps: str | None
    optional: bool | None


class _ClassMeta(Protocol):
    """betterproto's ``ProtoClassMetadata``, likewise."""

    meta_by_field_name: dict[str, _FieldMeta]
    cls_by_field: dict[str, type]


def specialise(message_type: type) -> Specialised | None:
    """Specialise a betterproto class, or leave it as it is and give None.

    Changes the class: its ``__init__`` and ``__getattribute__`` do the same as before, faster. To be called once.
    """
    meta: _ClassMeta | None = getattr(message_type, "_betterproto", None)
    if meta is None or not dataclasses.is_dataclass(message_type):
        return None
    fields = meta.meta_by_field_name
    numbers = [field.number for field in fields.values()]
    defaults = {field.default for field in dataclasses.fields(message_type)}
    if not fields or len(defaults) != 1 or numbers != sorted(numbers):
        return None  # upb writes by number, betterproto by order; without fields there is nothing to gain.
    for name, field in fields.items():
        if field.proto_type not in _TYPES or field.group or field.wraps or field.optional:
            return None
        if field.proto_type != "enum" and meta.cls_by_field[name] not in (bool, bytes, float, int, str):
            return None  # Repeated: their class is that of a list.
        if not _singular(message_type, name):
            return None
    (unset,) = defaults  # betterproto's PLACEHOLDER: the field was not set, nor received.
    upb = _upb_class(fields)
    encode = _encoder(message_type, fields, upb, unset)
    decode = _decoder(message_type, meta, upb, unset)
    replaced: Any = message_type
    replaced.__init__ = _initialiser(fields, unset)
    replaced.__getattribute__ = _reader(message_type, unset)
    return Specialised(encode, decode)


def _singular(message_type: type, name: str) -> bool:
    annotation = str({field.name: field.type for field in dataclasses.fields(message_type)}[name])
    return not annotation.startswith(("List[", "typing.List[", "list["))


_packages = count()


def _upb_class(fields: Mapping[str, _FieldMeta]) -> type[Message]:
    package = f"echo.specialised.p{next(_packages)}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    message = file.message_type.add(name="M")
    for index, (name, field) in enumerate(fields.items()):
        # `optional` of proto3: tells a default value that came from one that did not, as betterproto's repr does.
        message.oneof_decl.add(name=f"_{name}")
        message.field.add(
            name=name,
            number=field.number,
            type=_TYPES[field.proto_type],
            label=Field.LABEL_OPTIONAL,
            proto3_optional=True,
            oneof_index=index,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.M"))


def _function(name: str, lines: list[str], scope: dict[str, object]) -> Any:
    """Make a function of its source, as the standard library does for dataclasses: straight code, no loops."""
    exec("\n".join(lines), scope)  # noqa: S102 - the source is ours; names in it are identifiers of a dataclass's fields
    return scope[name]


def _encoder(
    message_type: type, fields: Mapping[str, _FieldMeta], upb: type[Message], unset: object
) -> Callable[[Any], bytes]:
    lines = ["def encode(message):", "    values = dict_of(message, '__dict__')", "    try:", "        m = upb()"]
    for name in fields:
        lines += [
            f"        v = values[{name!r}]",
            f"        if v and v is not unset: m.{name} = v",
        ]
    lines += [
        "        data = m.SerializeToString()",
        "    except (TypeError, ValueError):",
        "        return slowly(message)",  # A value of the wrong type or range: betterproto's own word on it.
        "    unknown = values['_unknown_fields']",
        "    return data + unknown if unknown else data",
    ]
    scope: dict[str, object] = {
        "dict_of": object.__getattribute__,
        "slowly": message_type.__bytes__,  # type: ignore[attr-defined]
        "unset": unset,
        "upb": upb,
    }
    return cast("Callable[[Any], bytes]", _function("encode", lines, scope))


def _decoder(message_type: type, meta: _ClassMeta, upb: type[Message], unset: object) -> Callable[[bytes], Any]:
    scope: dict[str, object] = {
        "DecodeError": DecodeError,
        "UnknownFieldSet": UnknownFieldSet,
        "cls": message_type,
        "dict_of": object.__getattribute__,
        "new": object.__new__,
        "parse": upb.FromString,
        "take_unknown": _take_unknown,
        "unset": unset,
    }
    lines = [
        "def decode(data):",
        "    try:",
        "        m = parse(data)",
        "    except DecodeError as error:",
        "        raise ValueError(str(error)) from error",
        "    message = new(cls)",
        "    values = dict_of(message, '__dict__')",
    ]
    for name, field in meta.meta_by_field_name.items():
        lines.append(f"    v = m.{name}")
        if field.proto_type == "enum":
            scope[f"enum_{name}"] = meta.cls_by_field[name].try_value  # type: ignore[attr-defined]
            lines.append(f"    values[{name!r}] = enum_{name}(v) if v or m.HasField({name!r}) else unset")
        else:
            lines.append(f"    values[{name!r}] = v if v or m.HasField({name!r}) else unset")
    lines += [
        "    values['_serialized_on_wire'] = True",
        "    values['_unknown_fields'] = take_unknown(m) if len(UnknownFieldSet(m)) else b''",
        "    values['_group_current'] = {}",
        "    return message",
    ]
    return cast("Callable[[bytes], Any]", _function("decode", lines, scope))


def _take_unknown(message: Message) -> bytes:
    """The bytes of the fields a message does not know."""
    for field, _ in message.ListFields():
        message.ClearField(field.name)
    return message.SerializeToString()


def _initialiser(fields: Mapping[str, _FieldMeta], unset: object) -> Callable[..., None]:
    lines = [
        f"def __init__(self, {', '.join(f'{name}=unset' for name in fields)}):",
        "    values = dict_of(self, '__dict__')",
        *(f"    values[{name!r}] = {name}" for name in fields),
        f"    values['_serialized_on_wire'] = not ({' is '.join([*fields, 'unset'])})",
        "    values['_unknown_fields'] = b''",
        "    values['_group_current'] = {}",
    ]
    scope = {"dict_of": object.__getattribute__, "unset": unset}
    return cast("Callable[..., None]", _function("__init__", lines, scope))


def _reader(message_type: type, unset: object) -> Callable[[object, str], object]:
    original: Any = message_type.__getattribute__
    plain = object.__getattribute__

    def __getattribute__(self: object, name: str) -> object:  # noqa: N807 - it becomes the class's
        value = plain(self, name)
        return value if value is not unset else cast("object", original(self, name))

    return __getattribute__
