"""The codec: specialised classes give the same results as before, and other classes are left alone."""

# ruff: noqa: RUF009 - betterproto's fields are calls in dataclass defaults, here as in what its compiler writes.

import copy
import dataclasses
import inspect
import pickle
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import betterproto
import pydantic
import pytest
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest
from hypothesis import given
from hypothesis import strategies as st

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.pb.grpc.health.v1 import HealthCheckResponse, HealthListResponse
from echo.rpc.codec import ProtoCodec
from echo.rpc.specialise import Specialised, specialise

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


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
    made = specialise(message_type)
    assert made is not None
    return made


FAST = specialised(Fast)

values = st.fixed_dictionaries(
    {},
    optional={
        "a": st.booleans(),
        "b": st.binary(max_size=20),
        "c": st.floats(),
        "d": st.sampled_from(list(Colour)),
        "e": UINT32,
        "f": UINT64,
        "g": INT32,
        "h": INT64,
        "i": INT32,
        "j": INT64,
        "k": INT32,
        "l": INT64,
        "m": TEXT,
        "n": UINT32,
        "o": UINT64,
    },
)


def state(message: Any) -> dict[str, str]:
    """All that betterproto knows of a message: the fields that are set, and more. As text, as no NaN equals another."""
    fields = [field.name for field in dataclasses.fields(message) if message.is_set(field.name)]
    own = {
        "_serialized_on_wire": message._serialized_on_wire,
        "_unknown_fields": message._unknown_fields,
        "_group_current": dict(message._group_current),
    }
    return {name: repr(value) for name, value in ({name: getattr(message, name) for name in fields} | own).items()}


@given(values)
def test_building_leaves_a_message_in_the_same_state(given_values: dict[str, Any]) -> None:
    assert state(Fast(**given_values)) == state(Plain(**given_values))


@given(values)
def test_encoding_gives_the_same_bytes(given_values: dict[str, Any]) -> None:
    assert FAST.encode(Fast(**given_values)) == bytes(Plain(**given_values))


@given(values, st.booleans())
def test_decoding_gives_the_same_message(given_values: dict[str, Any], unknown: bool) -> None:
    data = bytes(Plain(**given_values)) + (b"\xfa\x3f\x03abc\xf8\x3f\x05" if unknown else b"")
    ours, theirs = FAST.decode(data), Plain().parse(data)
    assert state(ours) == state(theirs) == state(Fast().parse(data))
    assert repr(ours) == repr(theirs)
    assert ours.to_dict() == theirs.to_dict()
    assert FAST.encode(ours) == bytes(theirs)
    for name in given_values:
        assert repr(getattr(ours, name)) == repr(getattr(theirs, name))
    for field in dataclasses.fields(Fast):
        assert repr(getattr(ours, field.name)) == repr(getattr(theirs, field.name))


@given(values, values)
def test_equality_is_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (Fast(**one) == Fast(**other)) == (Plain(**one) == Plain(**other))
    assert FAST.decode(bytes(Plain(**one))) == Fast(**one)


@given(values)
def test_setting_a_field_later_counts(given_values: dict[str, Any]) -> None:
    ours, theirs = Fast(), Plain()
    for name, value in given_values.items():
        setattr(ours, name, value)
        setattr(theirs, name, value)
    assert state(ours) == state(theirs)
    assert FAST.encode(ours) == bytes(theirs)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_message_or_a_value_error(data: bytes) -> None:
    try:
        ours = FAST.decode(data)
    except ValueError:
        return
    assert FAST.decode(FAST.encode(ours)) == ours


@pytest.mark.parametrize("data", [b"\x6a\x05abc", b"\x0a", b"\xff\xff\xff", b"\x6a\x01\xff"])
def test_bytes_that_are_not_a_message_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        FAST.decode(data)


def test_received_default_values_are_distinguished_from_missing_ones() -> None:
    explicit = b"\x08\x00\x6a\x00"
    assert repr(FAST.decode(explicit)) == repr(Plain().parse(explicit)) == "Everything(a=False, m='')"
    assert FAST.encode(FAST.decode(explicit)) == b""


def test_an_enumeration_s_unknown_numbers_survive() -> None:
    assert repr(FAST.decode(b"\x20\x63").d) == repr(Plain().parse(b"\x20\x63").d)
    assert FAST.encode(FAST.decode(b"\x20\x63")) == b"\x20\x63"


@pytest.mark.parametrize("wrong", [{"m": 5}, {"h": "x"}, {"m": "\ud800"}, {"h": 1.5}])
def test_a_value_of_the_wrong_type_fails_as_betterproto_has_it(wrong: dict[str, Any]) -> None:
    def failure(encode: Callable[[], bytes]) -> type[BaseException]:
        with pytest.raises((TypeError, ValueError, AttributeError)) as raised:
            encode()
        return raised.type

    assert failure(lambda: FAST.encode(Fast(**wrong))) is failure(lambda: bytes(Plain(**wrong)))


def test_constructors_refuse_names_that_are_no_fields() -> None:
    with pytest.raises(TypeError):
        Fast(nothing=1)


@pytest.mark.parametrize("message_type", [Message, Response, StreamMessage, StreamResponse, HealthCheckResponse])
def test_our_own_messages_are_specialised(message_type: type) -> None:
    assert specialise(message_type) is not None


def test_other_classes_are_left_alone_and_work() -> None:
    assert specialise(HealthListResponse) is None
    assert specialise(ServerReflectionRequest) is None
    assert specialise(int) is None
    codec = ProtoCodec()
    listing = HealthListResponse(statuses={"a": HealthCheckResponse(status=1)})  # type: ignore[arg-type]
    assert codec.decode(codec.encode(listing, HealthListResponse), HealthListResponse) == listing
    request = ServerReflectionRequest(list_services="x")
    assert codec.decode(codec.encode(request, ServerReflectionRequest), ServerReflectionRequest) == request


@dataclasses.dataclass(eq=False, repr=False)
class Repeated(betterproto.Message):
    items: list[int] = betterproto.int64_field(1)


@dataclasses.dataclass(eq=False, repr=False)
class Optional(betterproto.Message):
    item: int | None = betterproto.int64_field(1, optional=True)


@dataclasses.dataclass(eq=False, repr=False)
class OneOf(betterproto.Message):
    one: int = betterproto.int64_field(1, group="either")
    other: str = betterproto.string_field(2, group="either")


@dataclasses.dataclass(eq=False, repr=False)
class Nested(betterproto.Message):
    inner: OneOf = betterproto.message_field(1)


@dataclasses.dataclass(eq=False, repr=False)
class Disordered(betterproto.Message):
    second: int = betterproto.int64_field(2)
    first: int = betterproto.int64_field(1)


@dataclasses.dataclass(eq=False, repr=False)
class Single(betterproto.Message):
    value: float = betterproto.float_field(1)


@dataclasses.dataclass(eq=False, repr=False)
class Empty(betterproto.Message):
    pass


@pytest.mark.parametrize("message_type", [Repeated, Optional, OneOf, Nested, Disordered, Single, Empty])
def test_classes_that_do_not_allow_it_are_not_touched(message_type: type) -> None:
    before = dict(vars(message_type))
    assert specialise(message_type) is None
    after = {name: value for name, value in vars(message_type).items() if name != "_betterproto_meta"}
    assert after == {name: value for name, value in before.items() if name != "_betterproto_meta"}


def test_reading_an_unset_field_sets_it_to_its_default() -> None:
    ours, theirs = Fast(), Plain()
    for message in (ours, theirs):
        assert not message.is_set("h")
        assert message.h == 0
        assert message.is_set("h")
        assert repr(message) == "Everything(h=0)"
    assert state(ours) == state(theirs)
    assert ours.d is Colour.NONE
    assert Fast.h is Plain.h is betterproto.PLACEHOLDER


def test_fields_are_read_without_a_method_of_python_if_the_class_had_no_messages_before_it_was_specialised() -> None:
    used = make_class()
    used()
    specialised(used)
    assert calls_to_read(FAST.decode(b"\x40\x05")) == 0
    assert calls_to_read(Fast(h=5)) == 0
    assert calls_to_read(used(h=5)) == 1


def calls_to_read(message: Any) -> int:
    """How many functions of Python reading a field calls."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    profiling = sys.getprofile()
    sys.setprofile(count)
    try:
        value = message.h
    finally:
        sys.setprofile(profiling)
    assert value == 5
    return calls


def test_copies_and_pickles_are_the_same() -> None:
    message, other = Fast(h=5, m="x"), Plain(h=5, m="x")
    assert state(copy.copy(message)) == state(copy.deepcopy(message)) == state(copy.copy(other))
    received = StreamMessage().parse(bytes(StreamMessage("a", 1)))
    assert pickle.loads(pickle.dumps(received)) == received


@dataclasses.dataclass(eq=False, repr=False)
class Named(betterproto.Message):
    """Fields with names that the specialised functions might want for themselves."""

    type: str = betterproto.string_field(1)
    cls: int = betterproto.int32_field(2)
    self: str = betterproto.string_field(3)
    values: str = betterproto.string_field(4)
    original: str = betterproto.string_field(5)
    unset: str = betterproto.string_field(6)
    message: str = betterproto.string_field(7)
    dict_of: str = betterproto.string_field(8)
    type_of: str = betterproto.string_field(9)
    fast: str = betterproto.string_field(10)
    value: str = betterproto.string_field(11)


def test_fields_may_have_any_name() -> None:
    names = [field.name for field in dataclasses.fields(Named)]
    given_values: dict[str, Any] = {name: 5 if name == "cls" else name for name in names}
    data = bytes(Named(**given_values))
    codec = ProtoCodec()
    codec.decode(data, Named)  # From here on the class is specialised.
    message = Named(**given_values)
    assert codec.encode(message, Named) == data
    assert codec.decode(data, Named) == message
    assert {name: getattr(message, name) for name in names} == given_values


def test_messages_that_were_created_before_their_class_was_specialised_stay_as_they_are() -> None:
    used = make_class()
    early, plain = used(h=5), Plain(h=5)
    fast = specialised(used)
    assert state(early) == state(plain) == state(used(h=5))
    assert fast.encode(early) == bytes(early) == bytes(plain)
    for field in dataclasses.fields(Plain):
        assert repr(getattr(early, field.name)) == repr(getattr(plain, field.name))
    assert early == used(h=5)


@pytest.mark.parametrize("before", [True, False], ids=["before its base class", "after its base class"])
class TestASubclass:
    """It keeps its own constructor, whichever class the codec sees first."""

    def met(self, base: Any, subclass: Any, before: bool) -> ProtoCodec:
        codec = ProtoCodec()
        for message_type in (subclass, base) if before else (base, subclass):
            codec.decode(b"", message_type)
        return codec

    def test_a_subclass_keeps_its_constructor(self, before: bool) -> None:
        base = make_class()

        class Counted(base):  # type: ignore[misc, valid-type]
            def __init__(self, count: int = 3) -> None:
                super().__init__(h=count, m="x" * count)

        codec = self.met(base, Counted, before)
        assert codec.encode(Counted(2), Counted) == bytes(Plain(h=2, m="xx"))
        assert codec.decode(codec.encode(Counted(2), Counted), Counted).m == "xx"

    def test_a_subclass_keeps_its_post_init(self, before: bool) -> None:
        base = make_class()

        class Tidy(base):  # type: ignore[misc, valid-type]
            def __post_init__(self) -> None:
                super().__post_init__()
                self.m = str(self.m).strip()  # type: ignore[has-type]

        codec = self.met(base, Tidy, before)
        assert Tidy(m=" a ").m == "a"
        assert codec.encode(Tidy(m=" a "), Tidy) == bytes(Plain(m="a"))

    def test_a_subclass_with_more_methods_behaves_like_its_base(self, before: bool) -> None:
        base = make_class()

        class Shouting(base):  # type: ignore[misc, valid-type]
            def shout(self) -> str:
                return str(self.m).upper()

        codec = self.met(base, Shouting, before)
        assert codec.decode(codec.encode(Shouting(m="a"), Shouting), Shouting).shout() == "A"

    def test_a_subclass_with_more_fields_has_them_all(self, before: bool) -> None:
        base = make_class()

        @dataclasses.dataclass(eq=False, repr=False)
        class Longer(base):  # type: ignore[misc, valid-type]
            z: str = betterproto.string_field(2_000)

        codec = self.met(base, Longer, before)
        assert codec.decode(codec.encode(Longer(m="a", z="b"), Longer), Longer) == Longer(m="a", z="b")


def test_a_subclass_may_add_a_oneof() -> None:
    base = make_class()

    @dataclasses.dataclass(eq=False, repr=False)
    class Longer(base):  # type: ignore[misc, valid-type]
        one: int = betterproto.int64_field(2_000, group="either")
        other: str = betterproto.string_field(2_001, group="either")

    Longer()  # betterproto would otherwise take its base class's fields for its own.
    specialised(base)
    longer = Longer(m="a", one=3)
    assert (longer.h, longer.m, longer.one) == (0, "a", 3)
    assert betterproto.which_one_of(longer, "either") == ("one", 3)
    longer.other = "b"
    assert betterproto.which_one_of(longer, "either") == ("other", "b")
    assert Longer().parse(bytes(longer)) == longer


def test_a_subclass_defined_once_its_base_class_is_specialised_reads_defaults_and_so_does_its_base() -> None:
    base = make_class()
    specialised(base)
    existing = base(h=5)

    @dataclasses.dataclass(eq=False, repr=False)
    class Renamed(base):  # type: ignore[misc, valid-type]
        pass

    assert state(Renamed(h=5)) == state(existing)
    assert (Renamed(m="a").h, Renamed(m="a").m, base().h) == (0, "a", 0)
    assert (existing.h, existing.g) == (5, 0)
    assert betterproto.which_one_of(existing, "either") == ("", None)


def test_a_class_with_its_own_constructor_is_not_specialised() -> None:
    @dataclasses.dataclass(eq=False, repr=False)
    class Own(betterproto.Message):
        text: str = betterproto.string_field(1)

        def __init__(self, text: str = "default") -> None:
            self.text = text
            self.__post_init__()

    assert specialise(Own) is None
    assert Own().text == "default"


def test_pydantic_s_dataclasses_still_validate() -> None:
    @pydantic.dataclasses.dataclass(eq=False, repr=False)
    class Checked(betterproto.Message):
        count: int = betterproto.int64_field(1)

    codec = ProtoCodec()
    assert codec.decode(codec.encode(Checked(count=3), Checked), Checked) == Checked(count=3)
    with pytest.raises(pydantic.ValidationError):
        Checked(count="many")  # type: ignore[arg-type]


def test_a_constructor_still_tells_its_parameters() -> None:
    assert str(inspect.signature(Fast)) == str(inspect.signature(Plain))


def test_values_may_be_given_in_order() -> None:
    assert state(Fast(True, b"x")) == state(Plain(True, b"x"))
    assert state(Fast(True, m="x")) == state(Plain(True, m="x"))
    with pytest.raises(TypeError, match="multiple values"):
        Fast(True, a=True)
    with pytest.raises(TypeError, match="positional arguments"):
        Fast(*range(16))


def test_a_message_of_the_wrong_class_is_an_error() -> None:
    with pytest.raises(TypeError, match="must be a Message, not a Response"):
        ProtoCodec().encode(Response(), Message)
