"""A message class with a field of every scalar type, once as betterproto has it and once specialised."""

# ruff: noqa: RUF009 - betterproto's fields are calls in dataclass defaults, here as in what its compiler writes.

import dataclasses
from typing import Any

import betterproto

from echo.rpc.specialise import Specialised, specialise


class Colour(betterproto.Enum):
    NONE = 0
    RED = 1
    BLUE = 7


def make_class() -> Any:
    """Every scalar type, as betterproto's compiler writes them; each time a class of its own."""

    @dataclasses.dataclass(eq=False, repr=False)
    class Everything(betterproto.Message):
        a: bool = betterproto.bool_field(1)
        b: bytes = betterproto.bytes_field(2)
        c: float = betterproto.double_field(3)
        d: Colour = betterproto.enum_field(4)
        e: int = betterproto.fixed32_field(5)
        f: int = betterproto.fixed64_field(6)
        g: int = betterproto.int32_field(7)
        h: int = betterproto.int64_field(8)
        i: int = betterproto.sfixed32_field(9)
        j: int = betterproto.sfixed64_field(10)
        k: int = betterproto.sint32_field(11)
        l: int = betterproto.sint64_field(12)  # noqa: E741
        m: str = betterproto.string_field(13)
        n: int = betterproto.uint32_field(14)
        o: int = betterproto.uint64_field(1_000)

    return Everything


Plain = make_class()
Fast = make_class()


def specialised(message_type: type) -> Specialised:
    """The class, specialised."""
    made = specialise(message_type)
    assert made is not None
    return made


FAST = specialised(Fast)


def state(message: Any) -> dict[str, str]:
    """All that betterproto knows of a message: the fields that are set, and more. As text, as no NaN equals another."""
    fields = [field.name for field in dataclasses.fields(message) if message.is_set(field.name)]
    own = {
        "_serialized_on_wire": message._serialized_on_wire,
        "_unknown_fields": message._unknown_fields,
        "_group_current": dict(message._group_current),
    }
    return {name: repr(value) for name, value in ({name: getattr(message, name) for name in fields} | own).items()}
