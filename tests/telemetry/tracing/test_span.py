"""What a handler adds to its span: it arrives as it was meant, it is bounded, and none of it fails the call."""

import time
from collections.abc import Callable
from enum import StrEnum

import pytest
import trio
from opentelemetry.trace import Span, get_current_span

from echo.rpc import Server
from echo.rpc.testing import memory_channel_to
from tests.support.collector import Collector, Seen
from tests.support.services import CODEC, UNARY, BytesStream, Service, unary

HOUR = 3_600_000_000_000


class Colour(StrEnum):
    RED = "red"


async def added(add: Callable[[Span], None]) -> Seen:
    """The span of a call whose handler adds something."""

    async def one(stream: BytesStream) -> None:
        await stream.recv_message()
        add(get_current_span())
        await stream.send_message(b"")

    collector = Collector()
    async with collector.tracing() as tracing:
        server = Server([Service(One=(UNARY, one))], codec=CODEC, tracing=tracing.server)
        async with memory_channel_to(server, codec=CODEC) as channel:
            await unary(channel, "One")
    (span,) = collector.spans
    assert span.attributes["rpc.response.status_code"] == "OK"
    return span


@pytest.mark.parametrize("value", [True, 1, -(2**63), 1.5, "text", ["a", "b"], [1, 2.5, True], []], ids=repr)
async def test_an_attribute_keeps_its_type(
    value: str | float | list[str | int | float | bool], autojump_clock: trio.abc.Clock
) -> None:
    span = await added(lambda span: span.set_attribute("mine", value))
    assert span.attributes["mine"] == value
    assert type(span.attributes["mine"]) is type(value)


async def test_a_tuple_is_an_array_as_a_list_is(autojump_clock: trio.abc.Clock) -> None:
    span = await added(lambda span: span.set_attribute("mine", ("a", "b")))
    assert span.attributes["mine"] == ["a", "b"]


async def test_a_member_of_an_enumeration_arrives_as_its_value(autojump_clock: trio.abc.Clock) -> None:
    span = await added(lambda span: span.set_attribute("mine", Colour.RED))
    assert span.attributes["mine"] == "red"


async def test_a_number_of_more_than_64_bits_arrives_as_text(autojump_clock: trio.abc.Clock) -> None:
    span = await added(lambda span: span.set_attribute("mine", 2**64 + 1))
    assert span.attributes["mine"] == str(2**64 + 1)


@pytest.mark.parametrize(
    "add",
    [
        lambda span: span.set_attribute("k" * 100_000, "v"),
        lambda span: span.set_attribute("k", "v" * 100_000),
        lambda span: span.set_attribute("k", ["v" * 1_000] * 1_000),
        lambda span: span.set_attribute("k", list(range(100_000))),
        lambda span: span.add_event("e" * 100_000),
        lambda span: span.add_event("e", {"k": "v" * 100_000}),
        lambda span: [span.set_attribute(f"k{number}", number) for number in range(10_000)],
    ],
    ids=["key", "text", "texts", "numbers", "event", "event's attribute", "attributes"],
)
async def test_what_is_added_is_bounded(add: Callable[[Span], None], autojump_clock: trio.abc.Clock) -> None:
    assert len((await added(add)).span.SerializeToString()) < 5_000


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "add",
    [
        lambda span: span.set_attribute("k", Unspeakable()),
        lambda span: span.set_attribute(Unspeakable(), 1),
        lambda span: span.set_attribute("k", 10**5_000),
        lambda span: span.add_event(5),
        lambda span: span.add_event("e", {"k": Unspeakable()}),
        lambda span: span.add_event("e", timestamp=-1),
        lambda span: span.add_event("e", timestamp=2**64),
        lambda span: span.record_exception(RuntimeError(Unspeakable())),
    ],
    ids=["value", "key", "number", "name", "event's attribute", "too early", "too late", "exception"],
)
async def test_what_cannot_be_added_is_left_out_and_logged(
    add: Callable[[Span], None], caplog: pytest.LogCaptureFixture, autojump_clock: trio.abc.Clock
) -> None:
    span = await added(add)
    assert not span.span.events
    assert "could not be added to a span" in caplog.text


async def test_an_event_of_an_hour_ago_does_not_lengthen_the_span(autojump_clock: trio.abc.Clock) -> None:
    at = time.time_ns() - HOUR
    span = await added(lambda span: span.add_event("queued", timestamp=at))
    assert [event.time_unix_nano for event in span.span.events] == [at]
    assert span.span.start_time_unix_nano > at + HOUR // 2


async def test_an_event_may_have_its_time_as_a_float(autojump_clock: trio.abc.Clock) -> None:
    span = await added(lambda span: span.add_event("now", timestamp=time.time() * 1e9))  # type: ignore[arg-type]
    assert [event.name for event in span.span.events] == ["now"]
