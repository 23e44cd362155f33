"""Hedged calls whose caller stops waiting: for a message only, or for the call."""

import pytest
import trio
import trio.testing

from echo.rpc import GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from tests.support.attempts import Slow, hedging, leave_two_calls
from tests.support.services import BIDI, CODEC, UNARY, BytesStream, Service, call


async def test_a_caller_that_leaves_leaves_no_attempt_behind(autojump_clock: trio.abc.Clock) -> None:
    slow = Slow((100, None))
    async with slow.channel(hedging()) as channel:
        await leave_two_calls(channel, after=2.5)
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


async def test_leaving_after_one_attempt_has_failed_and_before_another_is_answered_is_no_failure(
    autojump_clock: trio.abc.Clock,
) -> None:
    slow = Slow((0.5, Status.UNAVAILABLE), (100, None))
    async with slow.channel(hedging()) as channel:
        async with call(channel, "All", BIDI) as stream:
            await stream.send_message(b"x", end=True)
            with trio.move_on_after(2):
                await stream.recv_message()
            assert stream.status_details is None
        await trio.testing.wait_all_tasks_blocked()
        assert channel.calls == 0
    assert sorted(slow.cancelled) == [1, 2]


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
