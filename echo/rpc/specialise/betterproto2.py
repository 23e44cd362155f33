"""Classes of betterproto2, the successor of betterproto 2.0: plain dataclasses whose fields hold their values.

Optional fields and those of a oneof are None when unset. The classes are not modified: they already create and read
messages quickly.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Protocol

from echo.rpc.specialise.upb import TYPES, Field, parse, unknown_fields, upb_class
from echo.rpc.specialised import Specialised


class _FieldMeta(Protocol):
    """The parts of betterproto2's ``FieldMetadata`` used here."""

    number: int
    proto_type: str
    group: str | None
    unwrap: object
    optional: bool | None
    repeated: bool | None


class _ClassMeta(Protocol):
    """The parts of betterproto2's ``ProtoClassMetadata`` used here."""

    meta_by_field_name: Mapping[str, _FieldMeta]
    cls_by_field: Mapping[str, Callable[[int], object]]
    default_gen: Mapping[str, Callable[[], object]]


def specialise(message_type: Any) -> Specialised | None:
    """Specialise a class if all its fields are singular scalars and enumerations; otherwise return None."""
    meta: _ClassMeta = message_type._betterproto
    fields = [
        Field(name, field.number, field.proto_type, presence=bool(field.optional or field.group))
        for name, field in meta.meta_by_field_name.items()
        if field.proto_type in TYPES and not field.repeated and not field.unwrap
    ]
    numbers = [field.number for field in fields]
    # upb writes fields by number, betterproto2 in order of declaration. Without fields there is nothing to gain.
    if not fields or len(fields) != len(meta.meta_by_field_name) or numbers != sorted(numbers):
        return None
    if any(meta.default_gen[field.name]() for field in fields):
        return None  # An enumeration without a zero.
    upb: Any = upb_class(message_type.__name__, fields)
    return Specialised(_encoder(message_type, fields, upb), _decoder(message_type, meta, fields, upb))


def _encoder(message_type: Any, fields: list[Field], upb: Any) -> Callable[[Any], bytes]:
    implicit = [field.name for field in fields if not field.presence]
    optional = [field.name for field in fields if field.presence]
    encode_slowly: Callable[[object], bytes] = message_type.__bytes__

    def encode(message: Any) -> bytes:
        values: dict[str, Any] = message.__dict__
        fast = upb()
        try:
            for name in implicit:
                value = values[name]
                if value:
                    setattr(fast, name, value)
            for name in optional:
                value = values[name]
                if value is not None:
                    setattr(fast, name, value)
            data: bytes = fast.SerializeToString()
        except (TypeError, ValueError):
            return encode_slowly(message)  # A value of the wrong type or range: betterproto2 decides.
        unknown: bytes = values["_unknown_fields"]
        return data + unknown if unknown else data

    return encode


def _decoder(message_type: type, meta: _ClassMeta, fields: list[Field], upb: Any) -> Callable[[bytes], object]:
    getters = [(field.name, attrgetter(field.name)) for field in fields]
    optional = [field.name for field in fields if field.presence]
    enumerations = [(field.name, meta.cls_by_field[field.name]) for field in fields if field.proto_type == "enum"]
    new: Callable[[type], object] = object.__new__

    def decode(data: bytes) -> object:
        fast = parse(upb, data)
        message = new(message_type)
        values = message.__dict__
        for name, get in getters:
            values[name] = get(fast)
        for name in optional:
            if not fast.HasField(name):
                values[name] = None
        for name, enumeration in enumerations:
            if values[name] is not None:
                values[name] = enumeration(values[name])
        values["_unknown_fields"] = unknown_fields(fast)
        return message

    return decode
