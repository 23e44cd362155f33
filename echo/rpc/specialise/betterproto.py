"""Classes of betterproto 2.0, whose fields hold a placeholder until they are set or received.

Creating and reading their messages is slow as well. So the class gets a new ``__init__``, and what a message holds is
kept where Python finds it fastest: its ``__dict__`` has the fields that are set and nothing else. The class has the
rest: descriptors for unset fields, and the state that most messages share. betterproto's own methods see no difference,
as they read a field with a method of theirs that is replaced too.

A placeholder in a ``__dict__`` needs a ``__getattribute__`` in Python, which every access to an attribute pays for.
Messages created before their class was specialised may have some, and so may those of subclasses. So the class is rid
of such a method only if there are neither. A server therefore specialises the classes of its methods beforehand.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import Any, Final, Protocol, cast

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from echo.rpc.specialise.upb import TYPES, Field, unknown_fields, upb_class
from echo.rpc.specialised import Specialised

_dict_of: Final[Callable[[object, str], dict[str, Any]]] = object.__getattribute__
_NO_GROUPS: Final[Mapping[str, str]] = MappingProxyType({})


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
    default_gen: Mapping[str, Callable[[], object]]


def specialise(message_type: Any) -> Specialised | None:
    """Specialise a class if all its fields are singular scalars and enumerations; otherwise return None.

    Modifies the class, see above.
    """
    # betterproto keeps what it knows of a class there, from its first message on.
    fresh = "_betterproto_meta" not in vars(message_type) and not message_type.__subclasses__()
    meta: _ClassMeta = message_type._betterproto
    fields = meta.meta_by_field_name
    numbers = [field.number for field in fields.values()]
    # upb writes fields by number, betterproto in order of declaration. Without fields there is nothing to gain.
    if not fields or numbers != sorted(numbers) or not all(_is_plain(message_type, meta, name) for name in fields):
        return None
    (unset,) = {field.default for field in dataclasses.fields(message_type)}  # betterproto's PLACEHOLDER.
    upb = _upb_class(message_type, meta)
    values_of = "message.__dict__" if fresh else "dict_of(message, '__dict__')"  # The first uses `__getattribute__`.
    made = Specialised(
        _encoder(message_type, meta, upb, unset, values_of), _decoder(message_type, meta, upb, values_of)
    )
    _restructure(message_type, meta, unset, values_of)
    if fresh:
        message_type.__getattribute__ = object.__getattribute__
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


def _encoder(
    message_type: type, meta: _ClassMeta, upb: type[Message], unset: object, values_of: str
) -> Callable[[object], bytes]:
    lines = ["def encode(message):", f"    get = {values_of}.get", "    try:", "        fast = upb()"]
    for name in meta.meta_by_field_name:
        lines += [
            f"        value = get({name!r})",
            f"        if value and value is not unset: fast.{name} = value",
        ]
    lines += [
        "        data = serialise(fast)",
        "    except (TypeError, ValueError):",
        "        return encode_slowly(message)",  # A value of the wrong type or range: betterproto's own word on it.
        "    unknown = get('_unknown_fields')",
        "    return data + unknown if unknown else data",
    ]
    scope: dict[str, object] = {
        "dict_of": _dict_of,
        "encode_slowly": message_type.__bytes__,  # type: ignore[attr-defined]
        # Not looked up on the message, where upb first looks for a field of that name.
        "serialise": upb.SerializeToString,
        "unset": unset,
        "upb": upb,
    }
    return cast("Callable[[object], bytes]", _function("encode", lines, scope))


def _decoder(message_type: type, meta: _ClassMeta, upb: type[Message], values_of: str) -> Callable[[bytes], object]:
    scope: dict[str, object] = {
        "cls": message_type,
        "dict_of": _dict_of,
        "has": upb.HasField,
        "new": object.__new__,
        "parse": upb.FromString,
        "DecodeError": DecodeError,
        "UnknownFieldSet": UnknownFieldSet,
        "unknown_fields": unknown_fields,
    }
    lines = [
        "def decode(data):",
        "    try:",
        "        fast = parse(data)",
        "    except DecodeError as error:",
        "        raise ValueError(str(error)) from error",
        "    message = new(cls)",
        f"    values = {values_of}",
    ]
    for name, field in meta.meta_by_field_name.items():
        taken = "value"
        if field.proto_type == "enum":
            scope[f"enum_{name}"] = meta.cls_by_field[name].try_value
            taken = f"enum_{name}(value)"
        lines += [
            f"    value = fast.{name}",
            f"    if value or has(fast, {name!r}): values[{name!r}] = {taken}",
        ]
    lines += [
        "    if len(UnknownFieldSet(fast)): values['_unknown_fields'] = unknown_fields(fast)",
        "    return message",
    ]
    return cast("Callable[[bytes], object]", _function("decode", lines, scope))


def _restructure(message_type: Any, meta: _ClassMeta, unset: object, values_of: str) -> None:
    """Have the class hold what its messages do not."""
    names = tuple(meta.meta_by_field_name)
    message_type.__init__ = _initialiser(message_type, names, unset, values_of)
    reader = message_type.__getattribute__ = _reader(message_type, unset)
    for name in names:
        setattr(message_type, name, _Unset(name, meta.default_gen[name], unset))
    message_type._serialized_on_wire = True
    message_type._unknown_fields = b""
    message_type._group_current = _NO_GROUPS

    def raw_get(self: Any, name: str) -> object:
        return self.__dict__.get(name, unset)

    def prepare(subclass: Any) -> None:
        subclass._group_current = _Missing()
        message_type.__getattribute__ = reader

    def __init_subclass__(subclass: type, /, **kwargs: object) -> None:  # noqa: N807 - it becomes the class's
        super(message_type, subclass).__init_subclass__(**kwargs)
        prepare(subclass)

    message_type._Message__raw_get = raw_get
    message_type.__init_subclass__ = classmethod(__init_subclass__)
    for subclass in message_type.__subclasses__():
        prepare(subclass)


class _Unset:
    """The class's attribute for a field, found by messages that have no value for it: its default, kept from then on.

    The class itself shows betterproto's placeholder, as before.
    """

    __slots__ = ("_default", "_name", "_unset")

    def __init__(self, name: str, default: Callable[[], object], unset: object) -> None:
        self._name = name
        self._default = default
        self._unset = unset

    def __get__(self, message: object | None, owner: type | None = None) -> object:
        if message is None:
            return self._unset
        value = message.__dict__[self._name] = self._default()
        return value


class _Missing:
    """Hides a class's attribute that messages of a subclass get in ``__post_init__``, and must not have before."""

    __slots__ = ()

    def __get__(self, message: object, owner: type | None = None) -> object:
        raise AttributeError


def _initialiser(message_type: Any, names: Sequence[str], unset: object, values_of: str) -> Callable[..., None]:
    original: Callable[..., None] = message_type.__init__
    scope: dict[str, object] = {
        "cls": message_type,
        "dict_of": _dict_of,
        "original": original,
        "type_of": type,
        "unset": unset,
    }
    # Fields may have any name, and theirs are the arguments' names.
    own = {name: _distinct(name, names) for name in (*scope, "message", "values")}
    lines = [
        "def __init__({message}, " + ", ".join(f"{name}={{unset}}" for name in names) + "):",
        "    if {type_of}({message}) is not {cls}:",  # A subclass may have a __post_init__.
        "        return {original}({message}, " + ", ".join(names) + ")",
        "    {values} = " + values_of.replace("message", "{message}").replace("dict_of", "{dict_of}"),
        *(f"    if {name} is not {{unset}}: {{values}}[{name!r}] = {name}" for name in names),
        "    if not {values}: {values}['_serialized_on_wire'] = False",
    ]
    source = [line.format_map(own) for line in lines]
    made = _function("__init__", source, {own[name]: used for name, used in scope.items()})
    return wraps(original)(cast("Callable[..., None]", made))


def _distinct(name: str, others: Sequence[str]) -> str:
    """The name, or one like it that is none of the others."""
    while name in others:
        name += "_"
    return name


def _reader(message_type: Any, unset: object) -> Callable[[object, str], object]:
    original: Callable[[object, str], object] = message_type.__getattribute__
    plain = object.__getattribute__

    def __getattribute__(self: object, name: str) -> object:  # noqa: N807 - it becomes the class's
        value = plain(self, name)
        return value if value is not unset else original(self, name)

    return __getattribute__
