"""Spans of calls that end together: each has its own ids and parent, and none is lost or sent twice."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from opentelemetry import trace

from echo.rpc import Channel, Server
from echo.rpc.register import FULL
from echo.rpc.testing import memory_channel_to
from tests.support.collector import NOT_SAMPLED, SAMPLED, SPAN, TRACE, Collector
from tests.support.services import CODEC, UNARY, BytesStream, Service, unary


async def one(stream: BytesStream) -> None:
    await stream.recv_message()
    await stream.send_message(b"hello")


@asynccontextmanager
async def traced(
    collector: Collector | None = None,
    /,
    *,
    handler: Callable[[BytesStream], Awaitable[None]] = one,
    **variables: str,
) -> AsyncIterator[tuple[Collector, Channel]]:
    """A collector, and a channel to a server that is traced. When the block has ended, the spans are there."""
    collector = collector or Collector()
    async with collector.tracing(**variables) as tracing:
        server = Server([Service(One=(UNARY, handler))], codec=CODEC, tracing=tracing.server)
        async with memory_channel_to(server, codec=CODEC) as channel:
            yield collector, channel


async def test_calls_that_end_together_each_have_their_own_span(autojump_clock: trio.abc.Clock) -> None:
    headers: list[dict[str, str | bytes]] = [
        {"traceparent": SAMPLED},
        {"x-other": "1", "traceparent": f"00-{'1' * 32}-{'2' * 16}-03"},
        {},
        {"traceparent": NOT_SAMPLED},
        {"traceparent": f"00-{'3' * 32}-{'4' * 16}-01", "tracestate": "a=1"},
        {"traceparent": f"cc-{'5' * 32}-{'6' * 16}-01-more"},
        {"traceparent": "rubbish"},
    ]
    async with traced() as (collector, channel):
        for metadata in headers:
            await unary(channel, "One", metadata=metadata)
    found = {(span.trace, span.parent, span.span.trace_state) for span in collector.spans}
    begun = {(span.trace, "", "") for span in collector.spans if not span.parent}
    assert len(begun) == 2
    assert found - begun == {
        (TRACE, SPAN, ""),
        ("1" * 32, "2" * 16, ""),
        ("3" * 32, "4" * 16, "a=1"),
        ("5" * 32, "6" * 16, ""),
    }
    assert len({span.id for span in collector.spans}) == len(collector.spans) == 6
    assert all(span.attributes["echo.messages.received"] == 1 for span in collector.spans)


async def test_an_unsound_traceparent_does_not_harm_the_calls_that_end_with_it(autojump_clock: trio.abc.Clock) -> None:
    async with traced() as (collector, channel):
        for header in (SAMPLED, SAMPLED.upper(), NOT_SAMPLED, f"00-{'0' * 32}-{SPAN}-01"):
            await unary(channel, "One", metadata={"traceparent": header})
    assert sorted(span.parent for span in collector.spans) == ["", "", SPAN]


async def test_a_sampler_by_ratio_decides_about_each_trace_that_begins_here(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")  # The SDK reads it, too.
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    async with traced(OTEL_TRACES_SAMPLER="parentbased_traceidratio") as (collector, channel):
        for _ in range(100):
            await unary(channel, "One")
        for header in (SAMPLED, NOT_SAMPLED):
            await unary(channel, "One", metadata={"traceparent": header})
    begun = [int(span.trace[16:], 16) for span in collector.spans if not span.parent]
    assert [span.parent for span in collector.spans if span.parent] == [SPAN]
    assert all(number < 2**63 for number in begun)
    assert 20 < len(begun) < 80  # It is less likely to be outside than to win a lottery twice.


async def test_a_batch_is_no_larger_than_the_settings_allow(autojump_clock: trio.abc.Clock) -> None:
    sizes = []

    class Small(Collector):
        async def send(self, groups: Sequence[bytes]) -> None:
            before = len(self.spans)
            await super().send(groups)
            sizes.append(len(self.spans) - before)

    async with traced(Small(), OTEL_BSP_MAX_EXPORT_BATCH_SIZE="3") as (_, channel):
        for _ in range(8):
            await unary(channel, "One")
    assert sorted(sizes) == [2, 3, 3]


async def test_a_task_that_survives_its_call_finds_the_span_of_that_call(autojump_clock: trio.abc.Clock) -> None:
    found = []

    async def later(go: trio.Event) -> None:
        await go.wait()
        context = trace.get_current_span().get_span_context()
        found.append((f"{context.trace_id:032x}", f"{context.span_id:016x}"))

    events = [trio.Event() for _ in range(3)]
    waiting = iter(events)

    async def start(stream: BytesStream) -> None:
        await stream.recv_message()
        background.start_soon(later, next(waiting))
        await stream.send_message(b"")

    async with trio.open_nursery() as background:
        async with traced(handler=start) as (collector, channel):
            for metadata in ({}, {"traceparent": SAMPLED}, {}):
                await unary(channel, "One", metadata=metadata)
        for event in events:
            event.set()
    assert len(set(found)) == 3
    assert sorted(found) == sorted((span.trace, span.id) for span in collector.spans)


async def test_the_batch_on_its_way_when_the_program_ends_is_not_sent_twice(autojump_clock: trio.abc.Clock) -> None:
    class Slow(Collector):
        async def send(self, groups: Sequence[bytes]) -> None:
            await super().send(groups)
            await trio.sleep(0.1)  # It has them, but has not said so.

    async with traced(Slow(), OTEL_BSP_MAX_EXPORT_BATCH_SIZE=str(FULL)) as (collector, channel):
        for _ in range(FULL + 1):
            await unary(channel, "One")
        await trio.testing.wait_all_tasks_blocked()
        assert len(collector.spans) == FULL
    assert len(collector.spans) == FULL + 1


async def test_no_span_is_lost_with_a_queue_that_holds_less_than_two_groups() -> None:
    async with traced(OTEL_BSP_MAX_QUEUE_SIZE=str(FULL + FULL // 2)) as (collector, channel):
        for _ in range(3 * FULL + 1):
            await unary(channel, "One")
    assert len(collector.spans) == 3 * FULL + 1
