"""What the channel does about it by itself: calls that the server has surely not seen, connections that do not come."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing
from anyio.abc import ByteStream
from h2.errors import ErrorCodes

from echo.rpc import Channel, GRPCError, Limits, Server, Status, open_channel_over
from echo.rpc.backoff import MAX_BACKOFF, MIN_BACKOFF
from echo.rpc.client_stream import MAX_ATTEMPTS, MAX_REPLAY
from echo.transport.memory import MemoryStream, memory_stream_pair
from echo.wire.events import HalfClosed, RequestStarted
from echo.wire.server import ServerConnection
from tests.support.services import (
    BIDI,
    CLIENT_STREAM,
    ECHO,
    SERVER_STREAM,
    UNARY,
    BytesCodec,
    BytesStream,
    Service,
    call,
    unary,
)

CODEC = BytesCodec()

Refuse = Callable[[ServerConnection, int], None]


def refuse(connection: ServerConnection, stream_id: int) -> None:
    connection.reset(stream_id, ErrorCodes.REFUSED_STREAM)
    connection.goaway()  # Further calls are to go elsewhere.


def go_away(connection: ServerConnection, stream_id: int) -> None:
    connection.goaway(last_stream_id=max(0, stream_id - 2))


class Network:
    """The first connections go to a server that takes no calls, the later ones to one that does."""

    def __init__(self, nursery: trio.Nursery, server: Server, refuse: Refuse, refusing: int, when: type) -> None:
        self._nursery = nursery
        self._server = server
        self._refuse = refuse
        self._when = when
        self.refusing = refusing
        self.refused = 0

    async def dial(self) -> ByteStream:
        ours, theirs = memory_stream_pair(100)
        if self.refusing:
            self._nursery.start_soon(self._turn_away, theirs)
        else:
            self._nursery.start_soon(self._server.serve_connection, theirs)
        return ours

    async def _turn_away(self, stream: MemoryStream) -> None:
        connection = ServerConnection(Limits())
        connection.start()
        async with stream:
            async for data in stream:
                for event in connection.receive(data):
                    if isinstance(event, self._when) and isinstance(event, RequestStarted | HalfClosed):
                        self.refused += 1
                        self.refusing -= 1
                        self._refuse(connection, event.stream_id)
                if connection.has_output:
                    await stream.send(connection.take_output())
                if not self.refusing:
                    return


@asynccontextmanager
async def network(
    how: Refuse, refusing: int, when: type = RequestStarted, server: Server | None = None
) -> AsyncIterator[tuple[Channel, Network]]:
    async with trio.open_nursery() as nursery:
        world = Network(nursery, server or Server([ECHO], codec=CODEC), how, refusing, when)
        async with open_channel_over(world.dial, "memory", codec=CODEC) as channel:
            yield channel, world
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("how", [refuse, go_away])
@pytest.mark.parametrize("when", [RequestStarted, HalfClosed])
async def test_a_call_that_was_not_seen_is_made_anew_and_nobody_notices(how: Refuse, when: type) -> None:
    async with network(how, 2, when) as (channel, world):
        assert await unary(channel, "One", b"hello") == b"hello"
        assert world.refused == 2


async def test_so_are_streams_whose_messages_are_all_sent() -> None:
    async with network(refuse, 1, HalfClosed) as (channel, _), call(channel, "Repeat", SERVER_STREAM) as stream:
        await stream.send_message(b"3")
        assert [message async for message in stream] == [b"0", b"1", b"2"]
    async with network(refuse, 1, HalfClosed) as (channel, _), call(channel, "Count", CLIENT_STREAM) as stream:
        for _ in range(5):
            await stream.send_message(b"x")
        await stream.end()
        assert await stream.recv_message() == b"5"
    async with network(refuse, 1, HalfClosed) as (channel, _), call(channel, "Count", CLIENT_STREAM) as stream:
        await stream.send_request(end=True)
        assert await stream.recv_message() == b"0"


async def test_a_stream_that_is_still_sending_fails() -> None:
    async with network(refuse, 1) as (channel, world):
        with pytest.raises(GRPCError) as raised:
            async with call(channel, "All", BIDI) as stream:
                await stream.send_message(b"x")
                await stream.recv_message()
        assert raised.value.status is Status.UNAVAILABLE
        assert world.refused == 1


async def test_there_is_an_end_to_trying() -> None:
    async with network(refuse, 100) as (channel, world):
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.UNAVAILABLE
        assert world.refused == MAX_ATTEMPTS


async def test_large_messages_are_not_kept_for_it() -> None:
    async with network(refuse, 1) as (channel, world):
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One", b"x" * (MAX_REPLAY + 1))
        assert raised.value.status is Status.UNAVAILABLE
        assert world.refused == 1


async def test_a_call_that_the_server_may_have_seen_is_not_repeated() -> None:
    def cancel(connection: ServerConnection, stream_id: int) -> None:
        connection.reset(stream_id, ErrorCodes.CANCEL)

    async with network(cancel, 1) as (channel, world):
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.CANCELLED
        assert world.refused == 1


async def test_attempts_to_connect_grow_rarer_and_a_success_forgives(autojump_clock: trio.abc.Clock) -> None:
    attempts: list[float] = []
    up = False
    server = Server([ECHO], codec=CODEC)
    async with trio.open_nursery() as nursery:

        async def dial() -> ByteStream:
            attempts.append(trio.current_time())
            if not up:
                raise OSError("nobody there")
            ours, theirs = memory_stream_pair()
            nursery.start_soon(server.serve_connection, theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC) as channel:
            end = trio.current_time() + 60
            while trio.current_time() < end:
                with pytest.raises(GRPCError, match="nobody there"):
                    await unary(channel, "One")
                await trio.sleep(0.01)
            gaps = [later - earlier for earlier, later in pairwise(attempts)]
            assert MIN_BACKOFF * 0.8 <= gaps[0] <= MIN_BACKOFF * 1.2 + 0.02
            assert all(MAX_BACKOFF * 0.8 <= gap <= MAX_BACKOFF * 1.2 + 0.02 for gap in gaps[10:])
            assert len(set(gaps[10:])) > 1
            up = True
            await trio.sleep(MAX_BACKOFF * 1.2)
            await unary(channel, "One")
            await server.drain(1)
            up = False
            server = Server([ECHO], codec=CODEC)
            attempts.clear()
            for _ in range(20):
                with pytest.raises(GRPCError):
                    await unary(channel, "One")
                await trio.sleep(0.01)
            assert attempts[1] - attempts[0] <= MIN_BACKOFF * 1.2 + 0.02


async def test_a_connection_without_calls_is_drained_after_a_while(autojump_clock: trio.abc.Clock) -> None:
    async def slow(stream: BytesStream) -> None:
        await stream.recv_message()
        await trio.sleep(100)
        await stream.send_message(b"done")

    server = Server(
        [ECHO, Service(Slow=(UNARY, slow))], codec=CODEC, limits=Limits(max_connection_idle=30, min_ping_interval=0)
    )
    async with network(refuse, 0, server=server) as (channel, _):
        assert await unary(channel, "Slow") == b"done"
        await trio.sleep(29)
        assert server.connections == 1
        await unary(channel, "One")
        await trio.sleep(29)
        assert server.connections == 1
        await trio.sleep(40)
        assert server.connections == 0
        await unary(channel, "One")


async def test_a_connection_that_is_old_is_drained_and_its_calls_finish(autojump_clock: trio.abc.Clock) -> None:
    async def slow(stream: BytesStream) -> None:
        await trio.sleep(float(await stream.recv_message() or 0))
        await stream.send_message(b"done")

    limits = Limits(max_connection_age=100, max_connection_age_grace=50)
    server = Server([Service(Slow=(UNARY, slow))], codec=CODEC, limits=limits)
    async with network(refuse, 0, server=server) as (channel, _), trio.open_nursery() as nursery:
        finished: list[float] = []

        async def one(seconds: float) -> None:
            try:
                await unary(channel, "Slow", b"%d" % seconds)
            except GRPCError as error:
                assert error.status is Status.UNAVAILABLE
                finished.append(-1)
            else:
                finished.append(seconds)

        nursery.start_soon(one, 120)
        nursery.start_soon(one, 1_000)
        await trio.sleep(115)
        assert await unary(channel, "Slow", b"1") == b"done"
        assert server.connections == 2
        await trio.sleep(60)
        assert sorted(finished) == [-1, 120]
        assert math.isfinite(trio.current_time())
