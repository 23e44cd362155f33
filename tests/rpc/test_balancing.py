"""Several addresses: which one gets a call, and what happens to it when servers refuse, hang, die or return."""

import errno
import math
from typing import Any

import anyio
import pytest
import trio
import trio.testing

from echo.rpc import GRPCError, Status, policies
from echo.rpc.backoff import MAX_BACKOFF, MIN_BACKOFF
from echo.rpc.policies import STAGGER
from echo.rpc.subchannel import Connecting, Subchannel
from echo.transport.client import ClientSession
from echo.wire.limits import Limits
from tests.support.fleet import a_fleet, shares, who
from tests.support.services import on_both_loops

WHILE: float = MAX_BACKOFF * 1.2 + 0.01  # Seconds after which any address is tried again.

# The first that answers


@on_both_loops
async def test_calls_go_to_the_first_address_and_the_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "STAGGER", math.inf)  # A busy machine may take a quarter of a second to connect.

    async with a_fleet("a", "b", "c") as (fleet, channel):
        assert await shares(channel, 10) == {"a": 10}
        assert channel.connections == 1
        assert not fleet["b"].attempts


@on_both_loops
async def test_a_call_goes_to_the_next_address_if_the_first_ones_refuse() -> None:
    async with a_fleet("a", "b", "c") as (fleet, channel):
        fleet["a"].down = fleet["b"].down = True
        assert await shares(channel, 10) == {"c": 10}
        assert len(fleet["a"].attempts) == len(fleet["b"].attempts) == 1


async def test_calls_stay_where_they_are_until_that_server_dies(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", "b") as (fleet, channel):
        fleet["a"].down = True
        assert await who(channel) == "b"
        fleet["a"].come_back()
        await trio.sleep(WHILE)
        assert await shares(channel, 10) == {"b": 10}
        fleet["b"].die()
        await trio.testing.wait_all_tasks_blocked()
        assert await shares(channel, 10) == {"a": 10}


async def test_an_address_that_does_not_answer_delays_a_call_only_briefly(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with a_fleet("a", "b", "c") as (fleet, channel):
        fleet["a"].silent = fleet["b"].silent = True
        began = trio.current_time()
        assert await who(channel) == "c"
        assert trio.current_time() - began == pytest.approx(2 * STAGGER)
        await trio.testing.wait_all_tasks_blocked()
        assert (fleet["a"].given_up, fleet["b"].given_up, channel.connections) == (1, 1, 1)


async def test_an_address_that_answers_too_late_is_disconnected(autojump_clock: trio.abc.Clock) -> None:
    """Both are tried; of two connections that come about at once, one stays."""
    async with a_fleet("a", "b") as (fleet, channel):
        fleet["a"].delay = 2 * STAGGER
        fleet["b"].delay = STAGGER
        assert await who(channel) == "a"
        await trio.testing.wait_all_tasks_blocked()
        assert len(fleet["b"].attempts) == 1
        assert (channel.connections, fleet["b"].server.connections) == (1, 0)


async def test_the_error_lists_every_address_and_its_failure(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", "b", "c") as (fleet, channel):
        for host in fleet.hosts.values():
            host.down = True
        with pytest.raises(GRPCError) as raised:
            await who(channel)
        assert raised.value.status is Status.UNAVAILABLE
        assert raised.value.message == "cannot connect to fleet: Connection refused"
        await trio.sleep(WHILE)
        fleet["b"].why = errno.EHOSTUNREACH
        with pytest.raises(GRPCError) as raised:
            await who(channel)
        assert raised.value.message == "cannot connect to fleet: Connection refused (a); No route to host (b)"


@pytest.mark.parametrize("balance", ["pick_first", "round_robin"])
async def test_calls_fail_at_once_while_every_address_is_backing_off(
    balance: Any, autojump_clock: trio.abc.Clock
) -> None:
    async with a_fleet("a", "b", balance=balance) as (fleet, channel):
        fleet["a"].down = fleet["b"].down = True
        for _ in range(10):
            with pytest.raises(GRPCError, match="Connection refused"):
                await who(channel)
        assert len(fleet["a"].attempts) == len(fleet["b"].attempts) == 1


@pytest.mark.parametrize("balance", ["pick_first", "round_robin"])
async def test_calls_that_wait_together_share_one_attempt_at_each_address(
    balance: Any, autojump_clock: trio.abc.Clock
) -> None:
    outcomes: list[str] = []

    async with a_fleet("a", "b", balance=balance) as (fleet, channel), trio.open_nursery() as nursery:

        async def one() -> None:
            try:
                outcomes.append(await who(channel))
            except GRPCError as error:
                outcomes.append(error.status.name)

        for host in fleet.hosts.values():
            host.down = True
            host.delay = 1
        for _ in range(10):
            nursery.start_soon(one)
    assert outcomes == ["UNAVAILABLE"] * 10
    assert len(fleet["a"].attempts) == len(fleet["b"].attempts) == 1


# All in turn


@on_both_loops
async def test_calls_go_to_all_addresses_in_equal_shares() -> None:
    async with a_fleet("a", "b", "c", balance="round_robin") as (_, channel):
        await who(channel)
        assert await shares(channel, 30) == {"a": 10, "b": 10, "c": 10}
        assert channel.connections == 3


@on_both_loops
async def test_the_first_calls_do_not_wait_for_the_last_server() -> None:
    async with a_fleet("a", "b", "c", balance="round_robin") as (fleet, channel):
        fleet["b"].silent = True
        await who(channel)
        assert await shares(channel, 20) == {"a": 10, "c": 10}


async def test_the_share_of_a_dead_server_moves_and_comes_back_and_no_call_fails(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with a_fleet("a", "b", "c", balance="round_robin") as (fleet, channel):
        await shares(channel, 3)
        fleet["b"].die()
        await trio.testing.wait_all_tasks_blocked()
        assert await shares(channel, 20) == {"a": 10, "c": 10}
        await trio.sleep(10)
        assert await shares(channel, 20) == {"a": 10, "c": 10}
        fleet["b"].come_back()
        await trio.sleep(WHILE)
        await shares(channel, 1)  # Which has it tried again,
        await trio.testing.wait_all_tasks_blocked()
        assert await shares(channel, 30) == {"a": 10, "b": 10, "c": 10}


async def test_when_a_server_dies_only_its_calls_in_flight_fail() -> None:
    outcomes: dict[str, int] = {}

    async with a_fleet("a", "b", balance="round_robin") as (fleet, channel), trio.open_nursery() as nursery:

        async def one() -> None:
            try:
                outcome = await who(channel)
            except GRPCError as error:
                outcome = error.status.name
            outcomes[outcome] = outcomes.get(outcome, 0) + 1

        await shares(channel, 2)
        hold = fleet["a"].hold = fleet["b"].hold = anyio.Event()
        for _ in range(10):
            nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        assert (fleet["a"].held, fleet["b"].held) == (5, 5)
        fleet["a"].die()
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == {"UNAVAILABLE": 5}
        hold.set()
    assert outcomes == {"UNAVAILABLE": 5, "b": 5}


async def test_a_drained_server_loses_no_call() -> None:
    async with a_fleet("a", "b", balance="round_robin") as (fleet, channel), trio.open_nursery() as nursery:
        answers: list[str] = []

        async def one() -> None:
            answers.append(await who(channel))

        await shares(channel, 2)
        hold = fleet["a"].hold = anyio.Event()
        for _ in range(4):
            nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        fleet["a"].down = True
        nursery.start_soon(fleet["a"].server.drain, 5)
        await trio.testing.wait_all_tasks_blocked()
        assert await shares(channel, 10) == {"b": 10}
        hold.set()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(answers) == ["a", "a", "b", "b"]


@on_both_loops
async def test_a_call_that_a_server_refuses_goes_to_another() -> None:
    async with a_fleet("a", "b", "c", balance="round_robin") as (fleet, channel):
        fleet["a"].refuses = True
        await who(channel)
        await anyio.wait_all_tasks_blocked()
        fleet["a"].refused = 0
        answers = await shares(channel, 30)
        assert fleet["a"].refused == 10  # Its share, each once and not again,
        assert answers.keys() == {"b", "c"}
        assert min(answers.values()) >= 10  # which the others have besides theirs.


async def test_each_address_has_its_own_backoff(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", "b", balance="round_robin") as (fleet, channel):
        fleet["b"].down = True
        end = trio.current_time() + 30
        while trio.current_time() < end:
            assert await who(channel) == "a"
            await trio.sleep(0.01)
        assert len(fleet["a"].attempts) == 1
        gaps = [later - earlier for earlier, later in zip(fleet["b"].attempts, fleet["b"].attempts[1:], strict=False)]
        assert MIN_BACKOFF * 0.8 <= gaps[0] <= MIN_BACKOFF * 1.2 + 0.02
        assert all(MAX_BACKOFF * 0.8 <= gap <= MAX_BACKOFF * 1.2 + 0.02 for gap in gaps[10:])
        assert len(gaps) > 15


async def test_no_connection_is_made_without_a_call(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", "b", balance="round_robin") as (fleet, channel):
        await trio.sleep(100)
        assert not fleet.lookups
        await shares(channel, 2)
        fleet["b"].die()
        await trio.sleep(100)
        assert len(fleet["b"].attempts) == 1


async def test_a_connection_that_succeeds_just_as_it_is_cancelled_is_closed() -> None:
    async with a_fleet("a") as (fleet, _), anyio.create_task_group() as tasks:
        common = Connecting(tasks, "http", Limits(), None, 20)

        async def give_up(subchannel: Subchannel, session: ClientSession) -> None:
            await session.ready.wait()
            subchannel.disconnect()

        for _ in range(20):  # Either of the two waiting tasks may run first.
            subchannel = Subchannel(fleet["a"].endpoint(), common)
            subchannel.connect()
            while not common.sessions:
                await trio.lowlevel.checkpoint()
            (session,) = common.sessions
            tasks.start_soon(give_up, subchannel, session)
            await trio.testing.wait_all_tasks_blocked()
            assert not common.sessions


async def test_leaving_the_block_gives_up_every_attempt() -> None:
    async with a_fleet("a", "b", balance="round_robin") as (fleet, channel), trio.open_nursery() as nursery:
        fleet["b"].silent = True
        assert await who(channel) == "a"
        nursery.cancel_scope.cancel()
    assert fleet["b"].given_up == 1
    assert channel.connections == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": "least_loaded"}, "balance is 'least_loaded', not one of pick_first, round_robin"),
        ({"health_service": ""}, "health is watched only with round_robin"),
        ({"compression": "br"}, "message encoding 'br' is not one of identity, gzip"),
    ],
)
async def test_unknown_options_are_refused_when_the_channel_is_opened(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        async with a_fleet("a", **options):
            pass
