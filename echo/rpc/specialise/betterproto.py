"""Classes of betterproto 2.0, whose fields hold a placeholder until they are set or received.

Creating and reading their messages is slow as well. So the class gets a new ``__init__`` and ``__getattribute__``,
which leave a message with the same ``__dict__`` as betterproto's own, so that the rest of betterproto still works.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from operator import attrgetter
from typing import Any, Protocol, cast

from echo.rpc.specialise.upb import TYPES, Field, Specialised, parse, unknown_fields, upb_class

_dict_of: Callable[[object, str], dict[str, Any]] = object.__getattribute__


class _FieldMeta(Protocol):
    """The parts of betterproto's ``FieldMetadata`` used here."""

    number: int
    proto_type: str
    group: str | None
    wraps: str | None
    optional: bool | None


class _ClassMeta(Protocol):
    """The parts of betterproto's ``ProtoClassMetadata`` used here."""

    meta_by_field_name: Mapping[str, _FieldMeta]
    cls_by_field: Mapping[str, Any]


def specialise(message_type: Any) -> Specialised | None:
    """Specialise a class if all its fields are singular scalars and enumerations; otherwise return None.

    Modifies the class, see above.
    """
    meta: _ClassMeta = message_type._betterproto
    fields = meta.meta_by_field_name
    numbers = [field.number for field in fields.values()]
    # upb writes fields by number, betterproto in order of declaration. Without fields there is nothing to gain.
    if not fields or numbers != sorted(numbers) or not all(_is_plain(message_type, meta, name) for name in fields):
        return None
    (unset,) = {field.default for field in dataclasses.fields(message_type)}  # betterproto's PLACEHOLDER.
    names = tuple(fields)
    made = Specialised(_encoder(message_type, meta, unset), _decoder(message_type, meta, unset))
    message_type.__init__ = _initialiser(message_type, names, unset)
    message_type.__getattribute__ = _reader(message_type, unset)
    return made


def _is_plain(message_type: type, meta: _ClassMeta, name: str) -> bool:
    field = meta.meta_by_field_name[name]
    if field.proto_type not in TYPES or field.group or field.wraps or field.optional:
        return False
    if field.proto_type != "enum" and meta.cls_by_field[name] not in (bool, bytes, float, int, str):
        return False  # A repeated field has a list type.
    annotation = str({field.name: field.type for field in dataclasses.fields(message_type)}[name])
    return not annotation.startswith(("List[", "typing.List[", "list["))


def _upb_class(message_type: type, meta: _ClassMeta) -> Any:
    # With presence, because betterproto's repr tells a received default value from a missing one.
    fields = meta.meta_by_field_name.items()
    return upb_class(
        message_type.__name__, [Field(name, field.number, field.proto_type, presence=True) for name, field in fields]
    )


def _encoder(message_type: type, meta: _ClassMeta, unset: object) -> Callable[[object], bytes]:
    upb, names = _upb_class(message_type, meta), tuple(meta.meta_by_field_name)
    encode_slowly: Callable[[object], bytes] = message_type.__bytes__  # type: ignore[attr-defined]

    def encode(message: object) -> bytes:
        values = _dict_of(message, "__dict__")
        fast = upb()
        try:
            for name in names:
                value = values[name]
                if value and value is not unset:
                    setattr(fast, name, value)
            data: bytes = fast.SerializeToString()
        except (TypeError, ValueError):
            return encode_slowly(message)  # A value of the wrong type or range: betterproto decides.
        unknown: bytes = values["_unknown_fields"]
        return data + unknown if unknown else data

    return encode


def _decoder(message_type: type, meta: _ClassMeta, unset: object) -> Callable[[bytes], object]:
    upb, names = _upb_class(message_type, meta), tuple(meta.meta_by_field_name)
    enumerations = [
        (name, meta.cls_by_field[name].try_value)
        for name, field in meta.meta_by_field_name.items()
        if field.proto_type == "enum"
    ]
    values_of = _tuple_getter(names)
    blank = dict.fromkeys(names, unset) | {"_serialized_on_wire": True, "_unknown_fields": b""}
    new: Callable[[type], object] = object.__new__

    def decode(data: bytes) -> object:
        fast = parse(upb, data)
        message = new(message_type)
        values = _dict_of(message, "__dict__")
        values.update(blank)
        for name, value in zip(names, values_of(fast), strict=True):
            if value or fast.HasField(name):
                values[name] = value
        for name, enumeration in enumerations:
            if values[name] is not unset:
                values[name] = enumeration(values[name])
        unknown = unknown_fields(fast)
        if unknown:
            values["_unknown_fields"] = unknown
        values["_group_current"] = {}
        return message

    return decode


def _tuple_getter(names: Sequence[str]) -> Callable[[object], tuple[object, ...]]:
    """Like `attrgetter`, but returns a tuple for a single name, too."""
    if len(names) > 1:
        return cast("Callable[[object], tuple[object, ...]]", attrgetter(*names))
    (name,) = names
    return lambda message: (getattr(message, name),)


def _initialiser(message_type: Any, names: Sequence[str], unset: object) -> Callable[..., None]:
    original: Callable[..., None] = message_type.__init__
    blank, size = dict.fromkeys(names, unset), len(names)

    @wraps(original)
    def __init__(self: object, /, *args: object, **kwargs: object) -> None:  # noqa: N807 - it becomes the class's
        # The original handles subclasses, which may have a __post_init__, and wrong arguments.
        if type(self) is message_type:
            values = _dict_of(self, "__dict__")
            values.update(blank)
            if args:
                values.update(zip(names, args, strict=False))
            values.update(kwargs)
            if len(values) == size and (not args or _valid_arguments(names, args, kwargs)):
                values["_serialized_on_wire"] = bool(args or kwargs)
                values["_unknown_fields"] = b""
                values["_group_current"] = {}
                return
            values.clear()
        original(self, *args, **kwargs)

    return __init__


def _valid_arguments(names: Sequence[str], args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
    """Whether there are no more positional arguments than fields, and no field is also given by name."""
    return len(args) <= len(names) and kwargs.keys().isdisjoint(names[: len(args)])


def _reader(message_type: Any, unset: object) -> Callable[[object, str], object]:
    original: Callable[[object, str], object] = message_type.__getattribute__
    plain = object.__getattribute__

    def __getattribute__(self: object, name: str) -> object:  # noqa: N807 - it becomes the class's
        value = plain(self, name)
        return value if value is not unset else original(self, name)

    return __getattribute__
