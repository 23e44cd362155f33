"""Connections that cannot be made: nothing listens, or what listens stays silent."""

import errno

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream, SocketAttribute

from echo.rpc import GRPCError, Status, open_channel, open_channel_over
from echo.transport.memory import memory_stream_pair
from tests.support.services import CODEC, on_both_loops, unary
from tests.support.waiting import outcome


@on_both_loops
async def test_a_server_that_cannot_be_reached_is_unavailable_with_the_reason() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
    async with open_channel("127.0.0.1", port, codec=CODEC) as channel:
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
    assert raised.value.status is Status.UNAVAILABLE
    assert raised.value.message == f"cannot connect to 127.0.0.1:{port}: Connection refused"


async def test_calls_that_wait_for_one_connection_share_its_failure() -> None:
    attempts = 0
    proceed = trio.Event()

    async def dial() -> ByteStream:
        nonlocal attempts
        attempts += 1
        await proceed.wait()
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    outcomes: list[Status | bytes] = []
    async with open_channel_over(dial, "nowhere", codec=CODEC) as channel, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(outcome, channel, "One", outcomes)
        await trio.testing.wait_all_tasks_blocked()
        proceed.set()
    assert outcomes == [Status.UNAVAILABLE] * 10
    assert attempts == 1


async def test_a_server_that_sends_nothing_is_given_up(autojump_clock: trio.abc.Clock) -> None:
    ours, theirs = memory_stream_pair(100)

    async def dial() -> ByteStream:
        return ours

    async with theirs, open_channel_over(dial, "mute", codec=CODEC, connect_timeout=5) as channel:
        with pytest.raises(GRPCError, match="no answer within 5 s"):
            await unary(channel, "One")
        assert trio.current_time() >= 5
        await trio.testing.wait_all_tasks_blocked()
        assert channel.connections == 0


async def test_the_deadline_covers_connecting(autojump_clock: trio.abc.Clock) -> None:
    async def dial() -> ByteStream:
        await trio.sleep_forever()
        raise AssertionError

    async with open_channel_over(dial, "slow", codec=CODEC) as channel:
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One", timeout=3)
    assert raised.value.status is Status.DEADLINE_EXCEEDED
    assert trio.current_time() == pytest.approx(3, abs=0.01)
