"""Hedged calls: several attempts at a time, by the channel's service config (gRPC's proposal A6)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import trio
import trio.testing

from echo.rpc import Channel, GRPCError, Server, Status
from echo.rpc.retry import MAX_ATTEMPTS
from echo.rpc.testing import memory_channel_to
from echo.transport.client_call import MAX_KEPT
from tests.support.fleet import a_fleet, who
from tests.support.refusing import network, refuse
from tests.support.services import (
    BIDI,
    CLIENT_STREAM,
    SERVER_STREAM,
    UNARY,
    BytesCodec,
    BytesStream,
    Run,
    Service,
    call,
    unary,
)

CODEC = BytesCodec()
PREVIOUS = "grpc-previous-rpc-attempts"
KINDS = {"One": UNARY, "Many": SERVER_STREAM, "Gather": CLIENT_STREAM, "All": BIDI}


def hedging(attempts: int = 3, delay: str = "1s", *codes: str, **more: object) -> dict[str, object]:
    """A service config that has all calls hedged."""
    policy = {"maxAttempts": attempts, "hedgingDelay": delay, "nonFatalStatusCodes": codes or ["UNAVAILABLE"]}
    return {"methodConfig": [{"name": [{}], "hedgingPolicy": policy}], **more}


class Slow:
    """A server where each attempt takes a given time, and then fails or is answered.

    Attributes:
        plans: For each attempt, in order: seconds, and how it fails, or None. The last one applies to all others.
        came: When each attempt arrived, and its count of previous attempts.
        cancelled: The attempts that were cancelled.
    """

    def __init__(self, *plans: tuple[float, Status | None] | tuple[float, Status, str]) -> None:
        self.plans = list(plans)
        self.began = trio.current_time()
        self.came: list[tuple[float, str | bytes]] = []
        self.messages: list[list[bytes]] = []
        self.cancelled: list[int] = []
        self.server = Server([Service(**{name: (kind, self._serve) for name, kind in KINDS.items()})], codec=CODEC)

    async def _serve(self, stream: BytesStream) -> None:
        assert stream.metadata is not None
        number = len(self.came)
        self.came.append((round(trio.current_time() - self.began, 3), stream.metadata.get(PREVIOUS, "")))
        plan = self.plans[min(number, len(self.plans) - 1)]
        try:
            messages = [message async for message in stream]
            self.messages.append(messages)
            await trio.sleep(plan[0])
        except trio.Cancelled:
            self.cancelled.append(number)
            raise
        if plan[1] is None:
            await stream.send_message(b"%d:" % number + b" ".join(messages))
            return
        metadata = {"grpc-retry-pushback-ms": plan[2]} if len(plan) == 3 else {}
        await stream.send_trailing_metadata(status=plan[1], status_message=f"failed {number}", metadata=metadata)

    @asynccontextmanager
    async def channel(self, config: dict[str, object]) -> AsyncIterator[Channel]:
        async with memory_channel_to(self.server, codec=CODEC, service_config=config) as channel:
            yield channel


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


async def test_a_caller_that_leaves_leaves_no_attempt_behind(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((100, None))
    async with slow.channel(hedging()) as channel:
        with trio.move_on_after(2.5):
            await unary(channel, "One")
        async with call(channel, "All", BIDI) as stream, trio.open_nursery() as nursery:
            await stream.send_message(b"x", end=True)

            async def receive() -> None:
                with pytest.raises(GRPCError, match="by its caller"):
                    await stream.recv_message()

            nursery.start_soon(receive)
            await trio.sleep(2.5)
            await stream.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert channel.calls == 0
        await trio.sleep(100)
    assert len(slow.came) == 6
    assert sorted(slow.cancelled) == [0, 1, 2, 3, 4, 5]


async def test_a_cancelled_receive_loses_no_attempt_and_can_be_repeated(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((3.5, None), (10, None))
    async with slow.channel(hedging()) as channel, call(channel, "One", UNARY) as stream:
        await stream.send_message(b"x")
        for _ in range(5):
            with trio.move_on_after(0.5):
                await stream.recv_message()
        assert await stream.recv_message() == b"0:x"
    assert slow.came == [(0, ""), (1, "1"), (2, "2")]
    assert trio.current_time() - slow.began == pytest.approx(3.5)


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


async def test_attempts_go_to_different_servers(autojump_clock: trio.abc.Clock) -> None:
    """Though in turn, after another call, it would be the same one again."""
    async with a_fleet("a", "b", balance="round_robin", service_config=hedging(2)) as (fleet, channel):
        while channel.connections < 2:
            await who(channel)
            await trio.testing.wait_all_tasks_blocked()
        while await who(channel) == "a":
            pass
        hold = fleet["a"].hold = anyio.Event()
        answers: list[str] = []

        async def one() -> None:
            answers.append(await who(channel))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            await trio.testing.wait_all_tasks_blocked()
            assert fleet["a"].held == 1
            assert await who(channel) == "b"
            await trio.sleep(1.5)
            assert answers == ["b"]
            hold.set()


async def test_a_server_that_cannot_be_reached_fails_the_call(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", service_config=hedging(3)) as (fleet, channel):
        fleet["a"].down = True
        with pytest.raises(GRPCError, match="cannot connect to fleet"):
            await who(channel)


async def test_an_unprocessed_attempt_is_replaced_and_not_counted(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((10, None), (0.5, None))
    async with network(refuse, 1, server=slow.server, service_config=hedging(2)) as (channel, world):
        assert await unary(channel, "One", b"x") == b"1:x"
        assert world.refused == 1
    assert [previous for _, previous in slow.came] == ["", "1"]


async def test_a_call_that_is_always_refused_fails(autojump_clock: trio.abc.Clock) -> None:
    async with network(refuse, 100, service_config=hedging(2)) as (channel, world):
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.UNAVAILABLE
        assert world.refused == (MAX_ATTEMPTS - 1) + 2


async def test_an_attempt_cancelled_before_it_started_is_made_at_once(autojump_clock: trio.abc.Clock) -> None:
    async def slowly(service_url: str, method: str) -> dict[str, str]:
        asked.append(trio.current_time() - slow.began)
        if len(asked) > 1:
            await trio.sleep(1)
        return {}

    asked: list[float] = []
    slow = Slow((10, None), (0.5, None))
    async with (
        memory_channel_to(
            slow.server,
            codec=CODEC,
            service_config=hedging(2),
            call_credentials=slowly,
            plaintext_credentials=True,
        ) as channel,
        call(channel, "One", UNARY) as stream,
    ):
        await stream.send_message(b"x")
        with trio.move_on_after(1.5):
            await stream.recv_message()
        assert await stream.recv_message() == b"1:x"
    assert asked == pytest.approx([0, 1, 1.5])


async def test_a_call_that_is_cancelled_after_it_was_answered_is_over_for_its_receiver() -> None:
    async def talk(stream: BytesStream) -> None:
        await stream.send_message(b"first")
        await trio.sleep_forever()

    server = Server([Service(All=(BIDI, talk))], codec=CODEC)
    async with (
        memory_channel_to(server, codec=CODEC, service_config=hedging()) as channel,
        call(channel, "All", BIDI) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.send_message(b"x")
        assert await stream.recv_message() == b"first"

        async def receive() -> None:
            with pytest.raises(GRPCError, match="by its caller"):
                await stream.recv_message()

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await stream.cancel()


def test_hedging_on_both_event_loops(run: Run) -> None:
    async def slow_first(stream: BytesStream) -> None:
        assert stream.metadata is not None
        if PREVIOUS not in stream.metadata:
            await anyio.sleep_forever()
        await stream.send_message(b"second")

    async def main() -> None:
        server = Server([Service(One=(UNARY, slow_first))], codec=CODEC)
        async with memory_channel_to(server, codec=CODEC, service_config=hedging(2, "0.01s")) as channel:
            for _ in range(5):
                assert await unary(channel, "One") == b"second"
            while channel.calls:
                await anyio.lowlevel.checkpoint()

    run(main)
