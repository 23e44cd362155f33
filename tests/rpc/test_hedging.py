"""Hedged calls: several attempts at a time, by the channel's service config (gRPC's proposal A6)."""

import anyio
import pytest
import trio
import trio.testing

from echo.rpc import GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from echo.transport.client_call import MAX_KEPT
from tests.support.attempts import KINDS, PREVIOUS, Slow, hedging
from tests.support.services import CLIENT_STREAM, CODEC, UNARY, BytesStream, Service, call, on_both_loops, unary


@pytest.mark.parametrize("name", KINDS)
async def test_attempts_follow_one_another_and_the_first_that_is_answered_is_the_call(
    name: str, autojump_clock: trio.abc.Clock
) -> None:
    slow = Slow((10, None), (10, None), (0.5, None))
    async with slow.channel(hedging(4)) as channel:
        async with call(channel, name, KINDS[name]) as stream:
            await stream.send_message(b"a")
            if KINDS[name].client_streaming:
                await stream.send_message(b"b")
                await stream.end()
            assert await stream.recv_message() == (b"2:a b" if KINDS[name].client_streaming else b"2:a")
            assert stream.initial_metadata is not None
            assert stream.initial_metadata[PREVIOUS] == "2"
        await trio.testing.wait_all_tasks_blocked()
        assert slow.came == [(0, ""), (1, "1"), (2, "2")]
        assert sorted(slow.cancelled) == [0, 1]
        assert channel.calls == 0


async def test_a_call_that_is_answered_within_the_delay_is_made_once(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((0.9, None))
    async with slow.channel(hedging()) as channel:
        assert await unary(channel, "One", b"x") == b"0:x"
        await trio.sleep(10)
    assert slow.came == [(0, "")]


async def test_its_trailers_are_those_of_the_attempt_that_decides_it(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((10, None), (0.5, None))
    async with slow.channel(hedging()) as channel:
        async with call(channel, "One", UNARY) as stream:
            await stream.send_message(b"x")
            await stream.recv_trailing_metadata()
            assert await stream.recv_message() == b"1:x"
        slow.plans = [(0, Status.UNAVAILABLE)]
        async with call(channel, "One", UNARY) as stream:
            await stream.send_message(b"x")
            with pytest.raises(GRPCError, match="failed 4"):
                await stream.recv_trailing_metadata()


async def test_without_delay_all_attempts_are_made_at_once(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((3, None), (2, None), (1, None))
    async with slow.channel(hedging(3, "0s")) as channel:
        assert await unary(channel, "One") == b"2:"
    assert [time for time, _ in slow.came] == [0, 0, 0]
    assert sorted(slow.cancelled) == [0, 1]


async def test_after_a_failure_that_is_not_fatal_the_next_attempt_is_made_at_once(
    autojump_clock: trio.abc.Clock,
) -> None:
    slow = Slow((0.25, Status.UNAVAILABLE), (10, None), (0.5, None))
    async with slow.channel(hedging()) as channel:
        assert await unary(channel, "One") == b"2:"
    assert slow.came == [(0, ""), (0.25, "1"), (1.25, "2")]


async def test_another_failure_is_the_call_s(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((10, None), (0.5, Status.NOT_FOUND))
    async with slow.channel(hedging()) as channel:
        with pytest.raises(GRPCError, match="failed 1") as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.NOT_FOUND
        await trio.testing.wait_all_tasks_blocked()
    assert slow.cancelled == [0]


async def test_if_all_attempts_fail_the_call_gets_the_last_failure(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((2.25, Status.UNAVAILABLE), (0.5, Status.UNAVAILABLE), (0.25, Status.UNAVAILABLE))
    async with slow.channel(hedging()) as channel:
        with pytest.raises(GRPCError, match="failed 0") as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.UNAVAILABLE
    assert [time for time, _ in slow.came] == [0, 1, 1.5]


async def test_the_server_says_when_it_wants_the_next_attempt(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((0.5, Status.UNAVAILABLE, "3000"), (10, None), (0.5, None))
    async with slow.channel(hedging()) as channel:
        assert await unary(channel, "One") == b"2:"
    assert slow.came == [(0, ""), (3.5, "1"), (4.5, "2")]


@pytest.mark.parametrize("pushback", ["-1", "soon"])
async def test_the_server_may_want_no_other_attempt(pushback: str, autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((5, None), (0.5, Status.UNAVAILABLE, pushback))
    async with slow.channel(hedging()) as channel:
        assert await unary(channel, "One") == b"0:"
    assert len(slow.came) == 2


async def test_the_deadline_is_one_for_all_attempts(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((100, None))
    async with slow.channel(hedging()) as channel:
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One", timeout=5)
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        await trio.testing.wait_all_tasks_blocked()
    assert sorted(slow.cancelled) == [0, 1, 2]
    assert trio.current_time() - slow.began == pytest.approx(5)


async def test_messages_reach_attempts_that_are_made_while_the_caller_still_sends(
    autojump_clock: trio.abc.Clock,
) -> None:
    slow = Slow((10, None), (10, None), (0.5, None))
    async with (
        slow.channel(hedging()) as channel,
        call(channel, "Gather", CLIENT_STREAM) as stream,
        trio.open_nursery() as nursery,
    ):

        async def send() -> None:
            for number in range(40):
                await stream.send_message(b"%d" % number)
                await trio.sleep(0.1)
            await stream.end()

        await stream.send_request()
        nursery.start_soon(send)
        assert await stream.recv_message() == b"2:" + b" ".join(b"%d" % number for number in range(40))
    assert slow.messages == [[b"%d" % number for number in range(40)]] * 3


async def test_every_attempt_gets_the_same_compressed_messages(autojump_clock: trio.abc.Clock) -> None:
    compressed: list[bool] = []

    async def gather(stream: BytesStream) -> None:
        assert [message async for message in stream] == [b"long " * 1_000, b"x" * 1_000]
        compressed.append(stream.received_compressed)
        await trio.sleep(10 if len(compressed) < 3 else 0)
        await stream.send_message(b"done")

    server = Server([Service(Gather=(CLIENT_STREAM, gather))], codec=CODEC)
    async with (
        memory_channel_to(server, codec=CODEC, service_config=hedging()) as channel,
        call(channel, "Gather", CLIENT_STREAM, compression="gzip") as stream,
    ):
        await stream.send_message(b"long " * 1_000)
        await stream.send_message(b"x" * 1_000)
        await stream.end()
        assert await stream.recv_message() == b"done"
    assert compressed == [True] * 3


async def test_a_message_whose_sending_is_cancelled_reaches_no_attempt(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((0.5, None))
    async with slow.channel(hedging()) as channel, call(channel, "Gather", CLIENT_STREAM) as stream:
        await stream.send_message(b"sent")
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.send_message(b"not sent")
        await stream.end()
        assert await stream.recv_message() == b"0:sent"


async def test_a_call_with_too_many_messages_to_keep_continues_with_one_attempt(
    autojump_clock: trio.abc.Clock,
) -> None:
    slow = Slow((0.5, None))
    async with slow.channel(hedging()) as channel, call(channel, "Gather", CLIENT_STREAM) as stream:
        await stream.send_message(bytes(MAX_KEPT - 5))
        with trio.move_on_after(1.5):
            await stream.recv_initial_metadata()
        assert len(slow.came) == 2
        await stream.send_message(b"more")
        await stream.end()
        reply = await stream.recv_message()
        assert reply is not None
        assert reply.startswith(b"0:")
    assert slow.cancelled == [1]
    assert len(slow.came) == 2


async def test_while_too_many_calls_fail_there_is_no_hedging(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((0, Status.UNAVAILABLE), (0, Status.UNAVAILABLE), (3, None))
    async with slow.channel(hedging(3, retryThrottling={"maxTokens": 4, "tokenRatio": 1})) as channel:
        with pytest.raises(GRPCError, match="failed 1"):  # With two tokens of four left, there is no third attempt.
            await unary(channel, "One")
        assert await unary(channel, "One") == b"2:"
        assert len(slow.came) == 3
        assert await unary(channel, "One") == b"3:"  # The success before has brought one back.
        assert len(slow.came) > 4


async def test_a_server_that_wants_no_other_attempt_takes_a_token_each_time(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((0, Status.INTERNAL, "-1"), (0, Status.INTERNAL, "-1"), (3, None))
    async with slow.channel(hedging(2, retryThrottling={"maxTokens": 4, "tokenRatio": 1})) as channel:
        for _ in range(2):
            with pytest.raises(GRPCError, match="failed"):
                await unary(channel, "One")
        assert await unary(channel, "One") == b"2:"
    assert len(slow.came) == 3


@on_both_loops
async def test_hedging_on_both_event_loops() -> None:
    async def slow_first(stream: BytesStream) -> None:
        assert stream.metadata is not None
        if PREVIOUS not in stream.metadata:
            await anyio.sleep_forever()
        await stream.send_message(b"second")

    server = Server([Service(One=(UNARY, slow_first))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC, service_config=hedging(2, "0.01s")) as channel:
        for _ in range(5):
            assert await unary(channel, "One") == b"second"
        while channel.calls:
            await anyio.lowlevel.checkpoint()
