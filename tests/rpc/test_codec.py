"""The codec: messages of specialised classes are, encode and decode as betterproto's own do."""

import copy
import dataclasses
import inspect
import pickle
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import betterproto
import pytest
from grpclib.encoding.base import StatusDetailsCodecBase
from hypothesis import given
from hypothesis import strategies as st

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import Cardinality, GRPCError, Status
from echo.rpc.codec import ProtoCodec, decode_details
from echo.rpc.testing import memory_channel
from echo.wire.head import Trailers
from tests.support.everything import FAST, Colour, Fast, Plain, make_class, specialised, state

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

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
    with pytest.raises(TypeError, match="must be of the class Message, not Response"):
        ProtoCodec().encode(Response(), Message)


class Details(StatusDetailsCodecBase):
    """Finds something in any details, even in none."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        raise NotImplementedError

    def decode(self, status: Status, message: str | None, data: bytes) -> Any:  # noqa: ARG002 - not of interest
        return "decoded", data


@pytest.mark.parametrize(("data", "expected"), [(None, None), (b"x", ("decoded", b"x"))])
def test_only_details_that_came_are_decoded(data: bytes | None, expected: object) -> None:
    assert decode_details(Details(), Trailers(Status.NOT_FOUND, "no", details=data)) == expected


async def test_calls_of_one_name_may_differ_in_the_type_of_their_requests() -> None:
    async with memory_channel([]) as channel:
        for message in (Message("a"), StreamMessage(stream_id="a"), Message("b")):
            async with channel.request("/s/m", Cardinality.UNARY_UNARY, type(message), Response) as stream:
                await stream.send_message(message)
                with pytest.raises(GRPCError, match="UNIMPLEMENTED"):
                    await stream.recv_message()
