"""Retried calls and the connections of their attempts: servers that cannot be reached, differ or refuse."""

import pytest
import trio
import trio.testing

from echo.rpc import Channel, GRPCError, Status
from echo.rpc.retry import MAX_TRANSPARENT_RETRIES
from tests.support.attempts import PREVIOUS, Flaky, retrying
from tests.support.fleet import a_fleet, who
from tests.support.refusing import network, refuse, when_told
from tests.support.services import UNARY, BytesStream, Service, call, unary


async def test_a_server_that_cannot_be_reached_is_tried_again(autojump_clock: trio.abc.Clock) -> None:
    async with (
        a_fleet("a", service_config=retrying(3, "10s", longest="10s")) as (fleet, channel),
        trio.open_nursery() as nursery,
    ):
        fleet["a"].down = True
        began = trio.current_time()

        async def come_back() -> None:
            await trio.sleep(15)
            fleet["a"].come_back()

        nursery.start_soon(come_back)
        assert await who(channel) == "a"
        assert 16 <= trio.current_time() - began <= 24.1
        fleet["a"].die()
        await trio.sleep(10)
        with pytest.raises(GRPCError, match="cannot connect to fleet") as raised:
            await who(channel)
        assert raised.value.status is Status.UNAVAILABLE


async def test_an_attempt_goes_to_another_server_than_the_one_that_failed() -> None:
    async def first_fails(stream: BytesStream) -> None:
        assert stream.metadata is not None
        peers.append(str(id(stream._call.session)))
        if PREVIOUS not in stream.metadata:
            raise GRPCError(Status.UNAVAILABLE, "not now")
        await stream.send_message(b"")

    peers: list[str] = []

    async with a_fleet(
        "a", "b", services=lambda: [Service(Try=(UNARY, first_fails))], balance="round_robin", service_config=retrying()
    ) as (_, channel):
        while channel.connections < 2:
            await who(channel)
            await trio.testing.wait_all_tasks_blocked()
        for _ in range(10):
            await unary_at(channel, "/test.Service/Try")
    assert all(first != second for first, second in zip(peers[::2], peers[1::2], strict=True))


async def test_a_last_attempt_that_cannot_connect_fails_the_call(autojump_clock: trio.abc.Clock) -> None:
    async def not_now(_: BytesStream) -> None:
        raise GRPCError(Status.UNAVAILABLE, "not now")

    config = retrying(2, "10s")
    async with a_fleet("a", services=lambda: [Service(Try=(UNARY, not_now))], service_config=config) as (
        fleet,
        channel,
    ):

        async def one() -> None:
            with pytest.raises(GRPCError, match="cannot connect to fleet"):
                await unary_at(channel, "/test.Service/Try")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            await trio.sleep(1)
            fleet["a"].die()


async def unary_at(channel: Channel, path: str) -> None:
    async with channel.request(path, UNARY, bytes, bytes) as stream:
        await stream.send_message(b"")
        await stream.recv_message()


async def test_transparent_retries_are_not_counted() -> None:
    flaky = Flaky(Status.UNAVAILABLE)
    async with network(refuse, 2, when_told, flaky.server, service_config=retrying(2)) as (channel, world):
        async with call(channel, "One", UNARY) as stream, trio.open_nursery() as nursery:
            await stream.send_message(b"x")

            async def receive() -> None:
                assert await stream.recv_message() == b"x"

            nursery.start_soon(receive)
            await world.refuse_held()
            await world.refuse_held()
        assert world.refused == 2
    assert flaky.attempts == ["", "1"]


async def test_a_call_that_is_always_refused_is_finally_retried_by_the_policy() -> None:
    async with network(refuse, 100, service_config=retrying(2)) as (channel, world):
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.UNAVAILABLE
        assert world.refused == MAX_TRANSPARENT_RETRIES + 2
