"""Hedged calls and the connections of their attempts: servers that differ, refuse or cannot be reached."""

import anyio
import pytest
import trio
import trio.testing

from echo.rpc import GRPCError, Status
from echo.rpc.retry import MAX_TRANSPARENT_RETRIES
from tests.support.attempts import Slow, hedging
from tests.support.fleet import a_fleet, who
from tests.support.refusing import network, refuse
from tests.support.services import unary


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


async def test_after_an_unprocessed_attempt_was_replaced_the_last_failure_is_the_call_s(
    autojump_clock: trio.abc.Clock,
) -> None:
    slow = Slow((0.5, Status.UNAVAILABLE))
    async with network(refuse, 1, server=slow.server, service_config=hedging(2)) as (channel, _):
        with trio.fail_after(60), pytest.raises(GRPCError, match="failed 1"):
            await unary(channel, "One")
    assert len(slow.came) == 2


async def test_a_call_that_is_always_refused_fails(autojump_clock: trio.abc.Clock) -> None:
    async with network(refuse, 100, service_config=hedging(2)) as (channel, world):
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.UNAVAILABLE
        assert world.refused == MAX_TRANSPARENT_RETRIES + 2
