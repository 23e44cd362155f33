"""A peer that reads slowly is alive, and one that takes nothing for a while is not: both roles, in virtual time."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from anyio.abc import ByteStream

from echo.rpc import Channel, GRPCError, Limits, Server, Status
from echo.rpc.channels import open_channel_over
from echo.transport.memory import memory_stream_pair
from tests.support.services import ECHO, BytesCodec, unary
from tests.support.throttled import ThrottledStream

KIB = 1024
RATE = 8 * KIB  # Bytes a second: a peer behind a bad line.
LARGE = bytes(256 * KIB)
CALLS = 8  # At once, so that a connection's whole buffer is always full; all takes four minutes at that rate.
LIMITS = Limits(write_timeout=20)
CODEC = BytesCodec()
SLOW = pytest.mark.parametrize("slow", ["client", "server"])


@asynccontextmanager
async def connected(slow: str, stop: float = math.inf) -> AsyncIterator[tuple[Server, Channel, ThrottledStream]]:
    """A server and a channel to it, the one called slow taking its bytes at that rate, until there were so many."""
    server = Server([ECHO], codec=CODEC, limits=LIMITS)
    ours, theirs = memory_stream_pair()
    throttled = ThrottledStream(theirs if slow == "client" else ours, RATE, stop)

    async def dial() -> ByteStream:
        nursery.start_soon(server.serve_connection, throttled if slow == "client" else theirs)
        return throttled if slow == "server" else ours

    async with trio.open_nursery() as nursery:
        async with open_channel_over(dial, "memory", codec=CODEC, limits=LIMITS) as channel:
            yield server, channel, throttled
        nursery.cancel_scope.cancel()


@SLOW
async def test_a_peer_that_reads_slowly_gets_everything(slow: str, autojump_clock: trio.abc.Clock) -> None:
    async with connected(slow) as (server, channel, _):
        replies = []

        async def call() -> None:
            replies.append(await unary(channel, "One", LARGE))

        async with trio.open_nursery() as calls:
            for _ in range(CALLS):
                calls.start_soon(call)
        assert replies == [LARGE] * CALLS
        assert trio.current_time() >= CALLS * len(LARGE) / RATE > 5 * LIMITS.write_timeout
        assert (server.connections, channel.connections) == (1, 1)


@SLOW
async def test_a_peer_that_takes_no_more_is_disconnected(slow: str, autojump_clock: trio.abc.Clock) -> None:
    async with connected(slow, stop=100 * KIB) as (server, channel, throttled):
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One", LARGE)
        assert raised.value.status is Status.UNAVAILABLE
        # A stream does not tell how much of its data was taken: up to 64 KiB may be in flight.
        waited = trio.current_time() - throttled.last_taken
        assert LIMITS.write_timeout - 64 * KIB / RATE <= waited <= LIMITS.write_timeout + 2
        assert throttled.last_taken >= 100 * KIB / RATE
        await trio.sleep(5)  # Each end notices it in its own way.
        assert (server.connections, channel.connections) == (0, 0)


async def test_a_drain_waits_until_a_client_that_reads_slowly_has_its_reply(autojump_clock: trio.abc.Clock) -> None:
    reply, replies = bytes(60 * KIB), list[bytes]()
    async with connected("client") as (server, channel, _), trio.open_nursery() as calls:

        async def call() -> None:
            replies.append(await unary(channel, "One", reply))

        calls.start_soon(call)
        await trio.sleep(1)
        await server.drain(60)
    assert replies == [reply]
