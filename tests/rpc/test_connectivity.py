"""A channel's connectivity state, and waiting for it to change."""

import warnings

import anyio
import pytest
import trio
import trio.testing

from echo.rpc import Channel, ChannelState, GRPCError, Status
from echo.rpc.channels import open_channel_to
from tests.support.fleet import Fleet, a_fleet, who
from tests.support.services import on_both_loops

IDLE, CONNECTING, READY, FAILURE, SHUTDOWN = ChannelState
BALANCES = pytest.mark.parametrize("balance", ["pick_first", "round_robin"])


async def note(channel: Channel, seen: list[ChannelState]) -> None:
    """Every state that lasts long enough for a task to see it."""
    async for state in channel.states():
        seen.append(state)  # noqa: PERF401 - each as it comes


@BALANCES
@on_both_loops
async def test_a_channel_connects_on_its_first_call_and_its_state_shows_it(balance: object) -> None:
    seen: list[ChannelState] = []
    async with anyio.create_task_group() as tasks:
        async with a_fleet("a", "b", balance=balance) as (fleet, channel):  # type: ignore[arg-type]
            for host in fleet.hosts.values():
                host.delay = 0.01
            assert channel.state is IDLE
            tasks.start_soon(note, channel, seen)
            await anyio.wait_all_tasks_blocked()
            await who(channel)
            assert channel.state is READY
            assert await channel.wait_for_state_change(IDLE) is READY
        assert channel.state is SHUTDOWN
    assert seen == [IDLE, CONNECTING, READY, SHUTDOWN]


@BALANCES
async def test_looking_at_the_state_connects_nothing(balance: object, autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", balance=balance) as (fleet, channel):  # type: ignore[arg-type]
        with trio.move_on_after(10):
            await channel.wait_for_state_change(IDLE)
        assert channel.state is IDLE
        assert not fleet.lookups


@BALANCES
async def test_a_lost_connection_leaves_the_channel_idle(balance: object) -> None:
    async with a_fleet("a", balance=balance) as (fleet, channel):  # type: ignore[arg-type]
        await who(channel)
        fleet["a"].die()
        assert await channel.wait_for_state_change(READY) is IDLE


@BALANCES
async def test_a_server_that_drains_with_running_calls_leaves_the_channel_idle(balance: object) -> None:
    async with a_fleet("a", balance=balance) as (fleet, channel), trio.open_nursery() as nursery:  # type: ignore[arg-type]
        hold = fleet["a"].hold = anyio.Event()
        nursery.start_soon(who, channel)
        await trio.testing.wait_all_tasks_blocked()
        assert channel.state is READY
        nursery.start_soon(fleet["a"].roll_over)
        assert await channel.wait_for_state_change(READY) is IDLE
        assert channel.connections == 1
        hold.set()


@BALANCES
async def test_without_an_answer_the_channel_fails_and_the_next_call_tries_again(
    balance: object, autojump_clock: trio.abc.Clock
) -> None:
    seen: list[ChannelState] = []
    async with a_fleet("a", "b", balance=balance) as (fleet, channel):  # type: ignore[arg-type]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, channel, seen)
            for host in fleet.hosts.values():
                host.down, host.delay = True, 1
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(GRPCError):
                await who(channel)
            await trio.sleep(10)
            assert channel.state is FAILURE
            for host in fleet.hosts.values():
                host.come_back()
            await who(channel)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert seen == [IDLE, CONNECTING, FAILURE, CONNECTING, READY]


async def test_one_address_that_answers_is_enough() -> None:
    async with a_fleet("a", "b") as (fleet, channel):
        fleet["a"].down = True
        await channel.connect(wait_for_ready=False)
        assert channel.state is READY
        assert await who(channel) == "b"


async def test_an_unknown_name_is_a_transient_failure(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a") as (fleet, channel):
        fleet.slow = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.connect)
            await trio.testing.wait_all_tasks_blocked()
            assert channel.state is CONNECTING
            assert await channel.wait_for_state_change(CONNECTING) is FAILURE
            fleet.slow = False
        assert channel.state is READY  # It was tried until then.


# Connecting without a call


@on_both_loops
async def test_a_channel_connects_without_a_call_if_asked_to() -> None:
    async with a_fleet("a") as (fleet, channel):
        await channel.connect()
        assert channel.state is READY
        await channel.connect()
        await who(channel)
        assert len(fleet["a"].attempts) == 1


async def test_connecting_continues_until_it_succeeds_unless_told_to_fail(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a") as (fleet, channel):
        fleet["a"].down = True
        with pytest.raises(GRPCError, match="cannot connect to fleet: Connection refused") as raised:
            await channel.connect(wait_for_ready=False)
        assert raised.value.status is Status.UNAVAILABLE
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.connect)
            await trio.sleep(30)
            assert len(fleet["a"].attempts) > 10
            fleet["a"].come_back()
        assert channel.state is READY


async def test_a_closed_channel_connects_no_more() -> None:
    async with anyio.create_task_group() as tasks:
        fleet = Fleet(tasks, list)
        fleet.add("a")
        async with open_channel_to(fleet.resolve, "fleet") as channel:
            pass
        with pytest.raises(GRPCError, match="the channel is closed"):
            await channel.connect()
        assert [state async for state in channel.states()] == [SHUTDOWN]


@on_both_loops
async def test_a_loop_over_states_may_be_left_when_one_has_come() -> None:
    async with a_fleet("a") as (_, channel), anyio.create_task_group() as tasks:
        tasks.start_soon(channel.connect)
        with warnings.catch_warnings(record=True) as warned:  # Trio's, of async generators.
            warnings.simplefilter("always")
            async for state in channel.states():
                if state is READY:
                    break
        assert [str(warning.message) for warning in warned] == []


@on_both_loops
async def test_a_closed_channel_s_state_is_not_waited_for() -> None:
    async with a_fleet("a") as (_, channel):
        channel.close()
        assert await channel.wait_for_state_change(IDLE) is SHUTDOWN
        with pytest.raises(GRPCError, match="the channel is closed"), anyio.fail_after(30):
            await channel.wait_for_state_change(SHUTDOWN)


async def test_being_cancelled_hides_no_error_from_a_channel_s_own_block() -> None:
    """As `async with channel:` has it, in programs written for grpclib and grpc.aio."""
    async with a_fleet("a") as (_, channel):
        await who(channel)
        with pytest.raises(ZeroDivisionError), trio.CancelScope() as scope:
            async with channel:
                scope.cancel()
                raise ZeroDivisionError
        assert channel.state is ChannelState.SHUTDOWN
