"""Which classes of messages the codec specialises, and what their subclasses keep for themselves."""

# ruff: noqa: RUF009 - betterproto's fields are calls in dataclass defaults, here as in what its compiler writes.

import dataclasses
from typing import Any

import betterproto
import pydantic
import pytest
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.pb.grpc.health.v1 import HealthCheckResponse, HealthListResponse
from echo.rpc.codec import ProtoCodec
from echo.rpc.specialise import specialise
from tests.support.everything import Plain, make_class, specialised, state


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
