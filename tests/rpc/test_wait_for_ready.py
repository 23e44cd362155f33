"""Calls that wait for a server instead of failing: until it is ready, until their deadline, until cancelled."""

from typing import Any, cast

import anyio
import grpclib.client
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.rpc import Channel, GRPCError, Server, Status, open_channel_over
from echo.rpc.backoff import MAX_BACKOFF
from echo.services import EchoService
from echo.transport.memory import memory_stream_pair
from tests.support.fleet import a_fleet, shares, who
from tests.support.services import on_both_loops

BALANCES = pytest.mark.parametrize("balance", ["pick_first", "round_robin"])


class Calls:
    """Calls in the background, and what became of them."""

    def __init__(self, nursery: trio.Nursery, channel: Channel) -> None:
        self.answers: list[str] = []
        self._nursery = nursery
        self._channel = channel

    def start(self, **options: Any) -> None:
        self._nursery.start_soon(self._one, options)

    async def _one(self, options: Any) -> None:
        try:
            self.answers.append(await who(self._channel, **options))
        except GRPCError as error:
            self.answers.append(error.status.name)


@BALANCES
async def test_a_call_waits_until_a_server_is_ready(balance: Any, autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", "b", balance=balance) as (fleet, channel), trio.open_nursery() as nursery:
        calls = Calls(nursery, channel)
        fleet["a"].down = fleet["b"].down = True
        calls.start(wait_for_ready=True)
        calls.start()
        await trio.sleep(100)
        assert calls.answers == ["UNAVAILABLE"]
        fleet["b"].come_back()
        await trio.sleep(MAX_BACKOFF * 1.2 + 0.01)
        assert calls.answers == ["UNAVAILABLE", "b"]


@BALANCES
async def test_calls_that_wait_do_not_make_attempts_more_frequent(balance: Any, autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", "b", balance=balance) as (fleet, channel), trio.open_nursery() as nursery:
        calls = Calls(nursery, channel)
        fleet["a"].down = fleet["b"].down = True
        for _ in range(20):
            calls.start(wait_for_ready=True)
        await trio.sleep(100)
        for host in fleet.hosts.values():
            gaps = [later - earlier for earlier, later in zip(host.attempts, host.attempts[1:], strict=False)]
            assert all(MAX_BACKOFF * 0.8 <= gap <= MAX_BACKOFF * 1.2 + 0.3 for gap in gaps[10:])
            assert len(gaps) > 40
        nursery.cancel_scope.cancel()


@BALANCES
async def test_a_waiting_call_reports_at_its_deadline_what_it_waited_for(
    balance: Any, autojump_clock: trio.abc.Clock
) -> None:
    async with a_fleet("a", balance=balance) as (fleet, channel):
        fleet["a"].down = True
        began = trio.current_time()
        with pytest.raises(GRPCError) as raised:
            await who(channel, wait_for_ready=True, timeout=30)
        assert trio.current_time() - began == pytest.approx(30)
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        assert raised.value.message == "the deadline passed (cannot connect to fleet: Connection refused)"


async def test_time_spent_waiting_is_deducted_from_the_server_s_timeout(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a") as (fleet, channel), trio.open_nursery() as nursery:
        calls = Calls(nursery, channel)
        fleet["a"].down = True
        fleet["a"].hold = anyio.Event()
        began = trio.current_time()
        calls.start(wait_for_ready=True, timeout=30)
        await trio.sleep(20)
        fleet["a"].come_back()
        nursery.cancel_scope.deadline = began + 31
    assert calls.answers == ["DEADLINE_EXCEEDED"]
    assert trio.current_time() - began == pytest.approx(30)


async def test_a_call_with_wait_for_ready_waits_for_a_name_to_resolve(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a") as (fleet, channel), trio.open_nursery() as nursery:
        calls = Calls(nursery, channel)
        fleet.unknown = True
        calls.start(wait_for_ready=True)
        await trio.sleep(20)
        fleet.unknown = False
        await trio.sleep(MAX_BACKOFF * 1.2 + 0.01)
        assert calls.answers == ["a"]
        assert len(fleet.lookups) > 10


async def test_waiting_is_the_channel_s_default_if_it_was_opened_so(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", wait_for_ready=True) as (fleet, channel), trio.open_nursery() as nursery:
        calls = Calls(nursery, channel)
        fleet["a"].down = True
        calls.start()
        calls.start(wait_for_ready=False)
        await trio.sleep(20)
        assert calls.answers == ["UNAVAILABLE"]
        fleet["a"].come_back()
        await trio.sleep(5)
        assert calls.answers == ["UNAVAILABLE", "a"]


async def test_stubs_wait_by_a_channel_that_does(autojump_clock: trio.abc.Clock) -> None:
    server = Server([EchoService()])
    async with trio.open_nursery() as nursery:
        up = trio.current_time() + 10

        async def dial() -> ByteStream:
            if trio.current_time() < up:
                raise OSError("not yet")
            ours, theirs = memory_stream_pair()
            nursery.start_soon(server.serve_connection, theirs)
            return ours

        async with open_channel_over(dial, "memory", wait_for_ready=True) as channel:
            stub = ServerStub(cast("grpclib.client.Channel", channel))
            assert (await stub.get_reply(Message("hi"))).response == "from server:hi"
        assert trio.current_time() >= up


async def test_a_call_that_is_cancelled_while_it_waits_leaves_nothing(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", "b") as (fleet, channel):
        fleet["a"].down = fleet["b"].down = True
        with trio.move_on_after(20):
            await who(channel, wait_for_ready=True)
        attempts = len(fleet["a"].attempts)
        await trio.sleep(100)
        assert len(fleet["a"].attempts) == attempts
        assert (channel.calls, channel.connections) == (0, 0)


async def test_closing_the_channel_ends_the_waiting() -> None:
    async with trio.open_nursery() as nursery:
        async with a_fleet("a") as (fleet, channel):
            calls = Calls(nursery, channel)
            fleet["a"].silent = True
            calls.start(wait_for_ready=True)
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        assert calls.answers == ["UNAVAILABLE"]


@on_both_loops
async def test_waiting_calls_on_both_event_loops() -> None:
    async with a_fleet("a", balance="round_robin", wait_for_ready=True) as (fleet, channel):
        fleet["a"].down = True
        answers: list[str] = []

        async def one() -> None:
            answers.append(await who(channel))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(one)
            while not fleet["a"].attempts:
                await anyio.lowlevel.checkpoint()
            fleet["a"].come_back()
        assert answers == ["a"] * 5
        assert await shares(channel, 1) == {"a": 1}
