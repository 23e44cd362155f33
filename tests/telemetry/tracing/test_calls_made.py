"""The spans of a channel's calls, and how those of the server that answers them belong to them."""

import pytest
import trio
import trio.testing
from anyio.abc import ByteStream

from echo.rpc import GRPCError, Server, open_channel_over
from echo.transport import memory_stream_pair
from tests.support.collector import NOT_SAMPLED, SAMPLED, SPAN, TRACE, Collector
from tests.support.services import BIDI, UNARY, BytesStream, Service, call, unary
from tests.support.traced import CODEC, traced


async def test_a_call_that_is_made_is_a_span_and_the_served_one_its_part(autojump_clock: trio.abc.Clock) -> None:
    async with traced(True) as ours:
        await unary(ours.channel, "One", b"hi", metadata={"traceparent": SAMPLED})
    made, served = ours.collector.one("client"), ours.collector.one("server")
    assert (made.trace, made.parent) == (TRACE, SPAN)
    assert (served.trace, served.parent) == (TRACE, made.id)
    assert made.attributes["server.address"] == "memory"
    assert made.attributes["rpc.response.status_code"] == "OK"
    assert made.events == []


async def test_a_caller_that_leaves_is_seen_at_both_ends(autojump_clock: trio.abc.Clock) -> None:
    async with traced(True) as ours:
        async with call(ours.channel, "Each", BIDI) as stream:
            await stream.send_message(b"hi")
            await stream.recv_message()
            await stream.end()
        await trio.testing.wait_all_tasks_blocked()
        async with call(ours.channel, "Each", BIDI) as stream:
            await stream.send_message(b"hi")
    whole, left = [span for span in ours.collector.spans if span.kind == "client"]
    assert whole.events[:2] == ["response began", "half-close"]
    assert left.events == ["cancel: the caller left the call before its end"]
    assert left.attributes["rpc.response.status_code"] == "CANCELLED"
    assert left.failed


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("nowhere:1", "nowhere", 1),
        ("[fd00::1]:1", "fd00::1", 1),
        ("a:1,b:1", "a:1,b:1", None),
        ("unix:/run/echo.sock", "unix:/run/echo.sock", None),
    ],
)
async def test_a_call_that_cannot_be_opened_is_a_failure(
    target: str, host: str, port: int | None, autojump_clock: trio.abc.Clock
) -> None:
    async def dial() -> ByteStream:
        raise ConnectionRefusedError("nobody there")

    collector = Collector()
    async with (
        collector.tracing() as tracing,
        open_channel_over(dial, target, codec=CODEC, tracing=tracing.channel) as channel,
    ):
        with pytest.raises(GRPCError):
            await unary(channel, "One")
    (span,) = collector.spans
    assert span.attributes["rpc.response.status_code"] == "UNAVAILABLE"
    assert (span.attributes["server.address"], span.attributes.get("server.port")) == (host, port)
    assert span.failed


async def test_calls_of_a_handler_are_parts_of_its_own(autojump_clock: trio.abc.Clock) -> None:
    collector = Collector()
    seen: list[object] = []
    async with collector.tracing() as tracing, trio.open_nursery() as nursery:

        async def relay(stream: BytesStream) -> None:
            await stream.recv_message()
            await stream.send_message(await unary(channel, "Last"))

        async def last(stream: BytesStream) -> None:
            assert stream.metadata is not None
            seen.append(stream.metadata.get("traceparent"))
            await stream.recv_message()
            await stream.send_message(b"")

        server = Server([Service(Relay=(UNARY, relay), Last=(UNARY, last))], codec=CODEC, tracing=tracing.server)

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(server.serve_connection, theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC, tracing=tracing.channel) as channel:
            await unary(channel, "Relay", metadata={"traceparent": NOT_SAMPLED})
            await unary(channel, "Relay")
        nursery.cancel_scope.cancel()
    assert seen[0] == NOT_SAMPLED
    relayed, inner = collector.one("server", "Relay"), collector.one("client", "Last")
    assert inner.parent == relayed.id
    assert collector.one("server", "Last").parent == inner.id
    assert len({span.trace for span in collector.spans}) == 1
