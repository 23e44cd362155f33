"""Checks that a message class is unmodified generated code, so that its methods can be replaced safely."""

import dataclasses
from types import FunctionType
from typing import Final

# Methods by which a class may customise how its messages are created, read, encoded or decoded.
_HOOKS: Final = frozenset(
    (
        *("__new__", "__post_init__", "__getattribute__", "__getattr__", "__setattr__", "__slots__"),
        *("__bytes__", "SerializeToString", "dump", "FromString", "parse", "load"),
    )
)


def package_of(message_type: type) -> str | None:
    """The package whose ``Message`` is the base of a generated class; None if the class is not as generated."""
    base = message_type.__base__
    if base is None or base.__qualname__ != "Message" or not _HOOKS.isdisjoint(vars(message_type)):
        return None
    if not dataclasses.is_dataclass(message_type) or not _has_generated_init(message_type):
        return None
    return base.__module__


def _has_generated_init(message_type: type) -> bool:
    """Whether ``__init__`` is the one that `dataclasses.dataclass` generates, compared with a reference class."""
    fields = dataclasses.fields(message_type)
    reference = dataclasses.make_dataclass(
        "Reference",
        [
            (field.name, field.type, dataclasses.field(default=field.default, default_factory=field.default_factory))
            for field in fields
        ],
        namespace={"__post_init__": lambda _: None},
    )
    found, expected = vars(message_type).get("__init__"), vars(reference)["__init__"]
    if not isinstance(found, FunctionType):
        return False
    same_code = all(
        getattr(found.__code__, part) == getattr(expected.__code__, part)
        for part in ("co_code", "co_names", "co_varnames")
    )
    return same_code and found.__defaults__ == expected.__defaults__
