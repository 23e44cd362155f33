"""Names with several or changing addresses are looked up when a connection must be replaced."""

from typing import Any

import anyio
import pytest
import trio
import trio.testing

from echo.rpc import GRPCError, Status
from echo.rpc.backoff import MAX_BACKOFF, MIN_BACKOFF
from echo.rpc.balancer import LOOKUP_INTERVAL, RESOLUTION_DELAY
from echo.rpc.channels import open_channel_to
from echo.rpc.resolve import MAX_ENDPOINTS
from tests.support.fleet import CODEC, a_fleet, shares, who

WHILE = MAX_BACKOFF * 1.2 + 0.01  # Seconds after which anything is tried again.
BALANCES = pytest.mark.parametrize("balance", ["pick_first", "round_robin"])


@BALANCES
async def test_a_name_is_looked_up_only_for_the_first_call(balance: Any, autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", balance=balance) as (fleet, channel):
        assert not fleet.lookups
        for _ in range(10):
            await who(channel)
            await trio.sleep(10)
        assert len(fleet.lookups) == 1


@BALANCES
async def test_a_server_that_has_moved_is_found(balance: Any, autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", balance=balance) as (fleet, channel):
        await who(channel)
        await trio.sleep(LOOKUP_INTERVAL)
        fleet["a"].die()
        fleet.addresses.clear()
        fleet.add("b")
        await trio.testing.wait_all_tasks_blocked()
        assert await shares(channel, 10) == {"b": 10}
        await trio.testing.wait_all_tasks_blocked()
        assert channel.connections == 1


@BALANCES
async def test_a_name_is_looked_up_again_when_its_old_address_no_longer_answers(
    balance: Any, autojump_clock: trio.abc.Clock
) -> None:
    async with a_fleet("a", balance=balance) as (fleet, channel):
        await who(channel)
        await trio.sleep(LOOKUP_INTERVAL)
        fleet["a"].die()
        fleet["a"].come_back()
        fleet["a"].silent = True
        fleet.addresses.clear()
        fleet.add("b")
        await trio.testing.wait_all_tasks_blocked()
        before = trio.current_time()
        assert await who(channel) == "b"
        assert trio.current_time() - before < 1
        await trio.testing.wait_all_tasks_blocked()
        assert fleet["a"].given_up == len(fleet["a"].attempts) - 1  # With pick_first no other attempt was made.


async def test_unchanged_addresses_keep_their_connections_and_new_ones_get_calls(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with a_fleet("a", "b", balance="round_robin") as (fleet, channel):
        await shares(channel, 2)
        await trio.sleep(LOOKUP_INTERVAL)
        fleet["b"].die()
        fleet.addresses.remove("b")
        fleet.add("c")
        await trio.testing.wait_all_tasks_blocked()
        await shares(channel, 1)
        await trio.testing.wait_all_tasks_blocked()
        await shares(channel, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert await shares(channel, 20) == {"a": 10, "c": 10}
        assert len(fleet["a"].attempts) == 1


async def test_calls_to_a_removed_address_finish_there(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", "b", balance="round_robin") as (fleet, channel), trio.open_nursery() as nursery:
        answers: list[str] = []

        async def one() -> None:
            answers.append(await who(channel))

        await shares(channel, 2)
        await trio.sleep(LOOKUP_INTERVAL)
        hold = fleet["a"].hold = anyio.Event()
        nursery.start_soon(one)
        nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["b"]
        fleet["a"].hold = None  # For those that come.
        fleet.addresses.remove("a")
        fleet["b"].die()
        fleet["b"].come_back()
        await trio.testing.wait_all_tasks_blocked()
        await who(channel)
        await trio.testing.wait_all_tasks_blocked()
        assert await shares(channel, 10) == {"b": 10}
        assert channel.connections == 2
        hold.set()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["b", "a"]
        assert channel.connections == 1


async def test_an_unknown_name_is_unavailable_and_not_looked_up_again_for_a_while(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with a_fleet("a") as (fleet, channel):
        fleet.unknown = True
        for _ in range(5):
            with pytest.raises(GRPCError) as raised:
                await who(channel)
            assert raised.value.status is Status.UNAVAILABLE
            assert raised.value.message == "cannot connect to fleet: name is not known"
        assert len(fleet.lookups) == 1
        end = trio.current_time() + 20
        while trio.current_time() < end:
            with pytest.raises(GRPCError):
                await who(channel)
            await trio.sleep(0.01)
        gaps = [later - earlier for earlier, later in zip(fleet.lookups, fleet.lookups[1:], strict=False)]
        assert MIN_BACKOFF * 0.8 <= gaps[0] <= MIN_BACKOFF * 1.2 + 0.02
        assert all(MAX_BACKOFF * 0.8 <= gap <= MAX_BACKOFF * 1.2 + 0.02 for gap in gaps[10:])
        fleet.unknown = False
        await trio.sleep(WHILE)
        assert await who(channel) == "a"


async def test_a_look_up_that_succeeds_ends_the_long_pauses(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a") as (fleet, channel):
        fleet.unknown = True
        for _ in range(12):
            with pytest.raises(GRPCError):
                await who(channel)
            await trio.sleep(WHILE)
        fleet.unknown = False
        assert await who(channel) == "a"
        await trio.sleep(LOOKUP_INTERVAL)
        fleet["a"].die()
        await trio.testing.wait_all_tasks_blocked()
        fleet.unknown = True
        with pytest.raises(GRPCError):
            await who(channel)
        assert len(fleet.lookups) == 14
        fleet.unknown = False
        fleet.addresses.clear()
        fleet.add("b")
        await trio.sleep(MIN_BACKOFF * 1.2 + 0.01)
        assert await who(channel) == "b"


async def test_a_name_without_addresses_is_an_error() -> None:
    async with a_fleet() as (_, channel):
        with pytest.raises(GRPCError, match="cannot connect to fleet: it has no address"):
            await who(channel)


async def test_a_look_up_that_takes_too_long_is_cancelled(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", connect_timeout=7) as (fleet, channel):
        fleet.slow = True
        began = trio.current_time()
        with pytest.raises(GRPCError, match="cannot connect to fleet: no address within 7 s"):
            await who(channel)
        assert trio.current_time() - began == pytest.approx(7)


@pytest.mark.parametrize("trouble", ["unknown", "slow"])
async def test_the_addresses_that_are_known_serve_while_the_name_cannot_be_looked_up(
    trouble: str, autojump_clock: trio.abc.Clock
) -> None:
    async with a_fleet("a") as (fleet, channel):
        await who(channel)
        await trio.sleep(LOOKUP_INTERVAL)
        fleet["a"].die()
        fleet["a"].come_back()
        setattr(fleet, trouble, True)
        await trio.testing.wait_all_tasks_blocked()
        before = trio.current_time()
        assert await shares(channel, 10) == {"a": 10}
        assert trio.current_time() - before == pytest.approx(RESOLUTION_DELAY if fleet.slow else 0)
        assert len(fleet.lookups) == 2


async def test_a_name_is_not_looked_up_for_each_of_many_failures(autojump_clock: trio.abc.Clock) -> None:
    names = [f"host{number}" for number in range(10)]
    async with a_fleet(*names, balance="round_robin") as (fleet, channel):
        for name in names[1:]:
            fleet[name].down = True
        end = trio.current_time() + 12 * LOOKUP_INTERVAL
        while trio.current_time() < end:
            assert await who(channel) == "host0"
            await trio.sleep(0.5)
        gaps = [later - earlier for earlier, later in zip(fleet.lookups, fleet.lookups[1:], strict=False)]
        assert min(gaps) >= LOOKUP_INTERVAL
        assert len(gaps) >= 10


@BALANCES
async def test_a_server_that_moves_soon_after_a_look_up_is_found_by_the_next_one(
    balance: Any, autojump_clock: trio.abc.Clock
) -> None:
    async with a_fleet("a", balance=balance) as (fleet, channel):
        await who(channel)
        await trio.sleep(1)
        fleet["a"].die()
        fleet.addresses.clear()
        fleet.add("b")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(GRPCError, match="Connection refused"):
            await who(channel)
        assert await who(channel, wait_for_ready=True) == "b"
        first, second = fleet.lookups
        assert LOOKUP_INTERVAL <= second - first <= LOOKUP_INTERVAL + WHILE


async def test_a_connection_that_is_replaced_soon_after_a_look_up_does_not_put_the_next_one_off(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with a_fleet("a", balance="round_robin") as (fleet, channel):
        await who(channel)
        await trio.sleep(1)
        fleet["a"].die()
        fleet["a"].come_back()
        fleet.add("b")
        await trio.testing.wait_all_tasks_blocked()
        assert await who(channel) == "a"
        await trio.sleep(LOOKUP_INTERVAL)
        assert len(fleet.lookups) == 2
        await who(channel)
        await trio.testing.wait_all_tasks_blocked()
        assert await shares(channel, 10) == {"a": 5, "b": 5}
        await trio.sleep(10 * LOOKUP_INTERVAL)
        assert len(fleet.lookups) == 2


async def test_the_interval_between_look_ups_can_be_set(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", lookup_interval=5) as (fleet, channel):
        await who(channel)
        fleet["a"].die()
        fleet.addresses.clear()
        fleet.add("b")
        await trio.testing.wait_all_tasks_blocked()
        assert await who(channel, wait_for_ready=True) == "b"
        first, second = fleet.lookups
        assert 5 <= second - first <= 5 + WHILE


async def test_a_name_is_not_looked_up_while_no_call_is_made(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a") as (fleet, channel):
        await who(channel)
        fleet["a"].die()
        await trio.sleep(1_000)
        assert len(fleet.lookups) == 1


async def test_a_name_with_very_many_addresses_costs_a_bounded_number_of_connections() -> None:
    names = [f"host{number}" for number in range(MAX_ENDPOINTS + 10)]
    async with a_fleet(*names, balance="round_robin") as (_, channel):
        await who(channel)
        await trio.testing.wait_all_tasks_blocked()
        assert channel.connections == MAX_ENDPOINTS


async def test_each_channel_has_connections_of_its_own_choice_to_a_name_with_very_many_addresses() -> None:
    names = [f"host{number}" for number in range(MAX_ENDPOINTS + 20)]
    async with a_fleet(*names, balance="round_robin") as (fleet, channel):
        await who(channel)
        for _ in range(3):
            async with open_channel_to(fleet.resolve, "fleet", balance="round_robin", codec=CODEC) as other:
                await who(other)
                await trio.testing.wait_all_tasks_blocked()
        # Of 84, each of the four channels leaves out 20 by chance: 0.3 are left out by all, on average.
        assert sum(not fleet[name].attempts for name in names) < 6


async def test_connections_stay_when_very_many_addresses_are_told_in_another_order(
    autojump_clock: trio.abc.Clock,
) -> None:
    names = [f"host{number}" for number in range(MAX_ENDPOINTS + 20)]
    async with a_fleet(*names, balance="round_robin") as (fleet, channel):
        await who(channel)
        await trio.testing.wait_all_tasks_blocked()
        before = {name: len(fleet[name].attempts) for name in names}
        await trio.sleep(LOOKUP_INTERVAL + 1)
        fleet.addresses.reverse()
        lost = next(name for name in names if before[name])
        fleet[lost].die()
        fleet[lost].come_back()
        await trio.testing.wait_all_tasks_blocked()
        await who(channel)
        await trio.testing.wait_all_tasks_blocked()
        assert len(fleet.lookups) == 2
        assert {name: len(fleet[name].attempts) for name in names} == before | {lost: 2}


async def test_a_lost_connection_is_replaced_by_one_to_the_currently_preferred_address(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with a_fleet("a", "b", "c") as (fleet, channel):
        assert await who(channel) == "a"
        await trio.sleep(LOOKUP_INTERVAL + 1)
        fleet.addresses.reverse()
        await fleet["a"].roll_over()  # Or it has reached its maximum age: the server still runs.
        assert await who(channel) == "c"
        assert fleet["b"].attempts == []
        assert len(fleet["a"].attempts) == 1
