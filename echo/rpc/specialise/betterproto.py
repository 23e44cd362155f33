"""Classes of betterproto 2.0, whose fields hold a placeholder until they are set or received.

Creating and reading their messages is slow as well. So the class gets a new ``__init__`` and ``__getattribute__``,
which leave a message with the same ``__dict__`` as betterproto's own, so that the rest of betterproto still works.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Protocol, cast

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from echo.rpc.specialise.upb import TYPES, Field, unknown_fields, upb_class
from echo.rpc.specialised import Specialised

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
    upb = _upb_class(message_type, meta)
    made = Specialised(_encoder(message_type, meta, upb, unset), _decoder(message_type, meta, upb, unset))
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


def _upb_class(message_type: type, meta: _ClassMeta) -> type[Message]:
    # With presence: a default value that was received differs from none, as betterproto's repr shows.
    fields = meta.meta_by_field_name.items()
    return upb_class(
        message_type.__name__, [Field(name, field.number, field.proto_type, presence=True) for name, field in fields]
    )


def _function(name: str, lines: list[str], scope: dict[str, object]) -> Any:
    """Make a function of its source, as `dataclasses` does: straight code, a line for each field.

    A closure that loops over the fields would do the same, and does for betterproto2. Here it was measured: it made a
    streamed message 9 % dearer, and messages larger, since a dict filled by `update` shares no keys with others.
    """
    exec("\n".join(lines), scope)  # noqa: S102 - The source is ours; names in it are identifiers of a dataclass's fields.
    return scope[name]


def _encoder(message_type: type, meta: _ClassMeta, upb: type[Message], unset: object) -> Callable[[object], bytes]:
    lines = ["def encode(message):", "    values = dict_of(message, '__dict__')", "    try:", "        fast = upb()"]
    for name in meta.meta_by_field_name:
        lines += [
            f"        value = values[{name!r}]",
            f"        if value and value is not unset: fast.{name} = value",
        ]
    lines += [
        "        data = fast.SerializeToString()",
        "    except (TypeError, ValueError):",
        "        return encode_slowly(message)",  # A value of the wrong type or range: betterproto's own word on it.
        "    unknown = values['_unknown_fields']",
        "    return data + unknown if unknown else data",
    ]
    scope: dict[str, object] = {
        "dict_of": _dict_of,
        "encode_slowly": message_type.__bytes__,  # type: ignore[attr-defined]
        "unset": unset,
        "upb": upb,
    }
    return cast("Callable[[object], bytes]", _function("encode", lines, scope))


def _decoder(message_type: type, meta: _ClassMeta, upb: type[Message], unset: object) -> Callable[[bytes], object]:
    scope: dict[str, object] = {
        "cls": message_type,
        "dict_of": _dict_of,
        "new": object.__new__,
        "parse": upb.FromString,
        "DecodeError": DecodeError,
        "UnknownFieldSet": UnknownFieldSet,
        "unknown_fields": unknown_fields,
        "unset": unset,
    }
    lines = [
        "def decode(data):",
        "    try:",
        "        fast = parse(data)",
        "    except DecodeError as error:",
        "        raise ValueError(str(error)) from error",
        "    message = new(cls)",
        "    values = dict_of(message, '__dict__')",
    ]
    for name, field in meta.meta_by_field_name.items():
        taken = "value"
        if field.proto_type == "enum":
            scope[f"enum_{name}"] = meta.cls_by_field[name].try_value
            taken = f"enum_{name}(value)"
        lines += [
            f"    value = fast.{name}",
            f"    values[{name!r}] = {taken} if value or fast.HasField({name!r}) else unset",
        ]
    lines += [
        "    values['_serialized_on_wire'] = True",
        "    values['_unknown_fields'] = unknown_fields(fast) if len(UnknownFieldSet(fast)) else b''",
        "    values['_group_current'] = {}",
        "    return message",
    ]
    return cast("Callable[[bytes], object]", _function("decode", lines, scope))


def _initialiser(message_type: Any, names: Sequence[str], unset: object) -> Callable[..., None]:
    original: Callable[..., None] = message_type.__init__
    lines = [
        f"def __init__(self, {', '.join(f'{name}=unset' for name in names)}):",
        "    if type(self) is not cls:",  # A subclass may have a __post_init__.
        f"        return original(self, {', '.join(names)})",
        "    values = dict_of(self, '__dict__')",
        *(f"    values[{name!r}] = {name}" for name in names),
        f"    values['_serialized_on_wire'] = not ({' is '.join([*names, 'unset'])})",
        "    values['_unknown_fields'] = b''",
        "    values['_group_current'] = {}",
    ]
    scope: dict[str, object] = {"cls": message_type, "dict_of": _dict_of, "original": original, "unset": unset}
    return wraps(original)(cast("Callable[..., None]", _function("__init__", lines, scope)))


def _reader(message_type: Any, unset: object) -> Callable[[object, str], object]:
    original: Callable[[object, str], object] = message_type.__getattribute__
    plain = object.__getattribute__

    def __getattribute__(self: object, name: str) -> object:  # noqa: N807 - it becomes the class's
        value = plain(self, name)
        return value if value is not unset else original(self, name)

    return __getattribute__
