"""The codec with betterproto2's classes: the same bytes and the same messages as by their own methods."""

# ruff: noqa: RUF009 - betterproto2's fields are calls in dataclass defaults, as its compiler writes them.

import dataclasses
import warnings
from typing import Any

import betterproto2
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.rpc.codec import ProtoCodec
from echo.rpc.specialise import specialise

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


class Colour(betterproto2.Enum):
    NONE = 0
    RED = 1
    BLUE = 7


@dataclasses.dataclass(eq=False, repr=False)
class Everything(betterproto2.Message):
    a: "bool" = betterproto2.field(1, betterproto2.TYPE_BOOL)
    b: "bytes" = betterproto2.field(2, betterproto2.TYPE_BYTES)
    c: "float" = betterproto2.field(3, betterproto2.TYPE_DOUBLE)
    d: "Colour" = betterproto2.field(4, betterproto2.TYPE_ENUM, default_factory=lambda: Colour(0))
    e: "int" = betterproto2.field(5, betterproto2.TYPE_FIXED64)
    f: "int" = betterproto2.field(6, betterproto2.TYPE_INT32)
    g: "int" = betterproto2.field(7, betterproto2.TYPE_SINT64)
    h: "int" = betterproto2.field(8, betterproto2.TYPE_UINT64)
    i: "str" = betterproto2.field(9, betterproto2.TYPE_STRING)
    j: "int | None" = betterproto2.field(10, betterproto2.TYPE_INT64, optional=True)
    k: "Colour | None" = betterproto2.field(11, betterproto2.TYPE_ENUM, optional=True)
    l: "str | None" = betterproto2.field(12, betterproto2.TYPE_STRING, optional=True, group="one")  # noqa: E741
    m: "int | None" = betterproto2.field(13, betterproto2.TYPE_INT32, optional=True, group="one")


FAST = specialise(Everything)

values = st.fixed_dictionaries(
    {},
    optional={
        "a": st.booleans(),
        "b": st.binary(max_size=20),
        "c": st.floats(),
        "d": st.sampled_from([*Colour, Colour(99)]),
        "e": st.integers(0, 2**64 - 1),
        "f": st.integers(-(2**31), 2**31 - 1),
        "g": st.integers(-(2**63), 2**63 - 1),
        "h": st.integers(0, 2**64 - 1),
        "i": TEXT,
        "j": st.none() | st.integers(-(2**63), 2**63 - 1),
        "k": st.none() | st.sampled_from(Colour),
        "l": st.none() | TEXT,
        "m": st.none() | st.integers(-(2**31), 2**31 - 1),
    },
)


def state(message: object) -> list[tuple[str, str]]:
    return sorted((name, repr(value)) for name, value in vars(message).items())


@given(values)
def test_encoding_gives_the_same_bytes(given_values: dict[str, Any]) -> None:
    assert FAST is not None
    assert FAST.encode(Everything(**given_values)) == bytes(Everything(**given_values))


@given(values, st.booleans())
def test_decoding_gives_the_same_message(given_values: dict[str, Any], unknown: bool) -> None:
    assert FAST is not None
    data = bytes(Everything(**given_values)) + (b"\xfa\x3f\x03abc" if unknown else b"")
    ours, theirs = FAST.decode(data), Everything.parse(data)
    assert state(ours) == state(theirs)
    assert repr(ours) == repr(theirs)
    assert FAST.encode(ours) == bytes(theirs)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_message_or_a_value_error(data: bytes) -> None:
    assert FAST is not None
    try:
        ours = FAST.decode(data)
    except ValueError:
        return
    assert FAST.decode(FAST.encode(ours)) == ours


@pytest.mark.parametrize("wrong", [{"i": 5}, {"f": "x"}, {"i": "\ud800"}, {"f": 2**40}])
def test_a_value_of_the_wrong_type_fails_as_betterproto2_has_it(wrong: dict[str, Any]) -> None:
    assert FAST is not None
    message = Everything(**wrong)
    try:
        expected: object = bytes(message)
    except Exception as error:  # noqa: BLE001 - whatever it is, ours is the same
        with pytest.raises(type(error)):
            FAST.encode(message)
    else:
        assert FAST.encode(message) == expected


@dataclasses.dataclass(eq=False, repr=False)
class Repeated(betterproto2.Message):
    items: "list[int]" = betterproto2.field(1, betterproto2.TYPE_INT64, repeated=True)


@dataclasses.dataclass(eq=False, repr=False)
class Nested(betterproto2.Message):
    inner: "Repeated | None" = betterproto2.field(1, betterproto2.TYPE_MESSAGE, optional=True)


@dataclasses.dataclass(eq=False, repr=False)
class Mapped(betterproto2.Message):
    counts: "dict[str, int]" = betterproto2.field(
        1,
        betterproto2.TYPE_MAP,
        map_meta=betterproto2.map_meta(betterproto2.TYPE_STRING, betterproto2.TYPE_INT32),
    )


@dataclasses.dataclass(eq=False, repr=False)
class Empty(betterproto2.Message):
    pass


@pytest.mark.parametrize(
    "message", [Repeated(items=[1, 2]), Nested(inner=Repeated(items=[3])), Mapped(counts={"a": 1}), Empty()], ids=repr
)
def test_other_classes_work_by_their_own_methods(message: betterproto2.Message) -> None:
    codec, message_type = ProtoCodec(), type(message)
    assert specialise(message_type) is None
    assert codec.decode(codec.encode(message, message_type), message_type) == message


def test_a_deprecated_field_still_warns() -> None:
    @dataclasses.dataclass(eq=False, repr=False)
    class Deprecated(betterproto2.Message):
        old: "str" = betterproto2.field(1, betterproto2.TYPE_STRING)

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.old:
                warnings.warn("old is deprecated", DeprecationWarning, stacklevel=2)

    assert specialise(Deprecated) is None
    with pytest.warns(DeprecationWarning, match="old is deprecated"):
        Deprecated(old="x")


def test_pydantic_s_dataclasses_still_validate() -> None:
    @pydantic.dataclasses.dataclass(eq=False, repr=False)
    class Checked(betterproto2.Message):
        count: "int" = betterproto2.field(1, betterproto2.TYPE_INT64)

    assert specialise(Checked) is None
    with pytest.raises(pydantic.ValidationError):
        Checked(count="many")  # type: ignore[arg-type]
