"""Nothing grows without bound: a slow reader slows its sender, on both sides, and neighbours do not notice."""

import math

import anyio
import pytest
import trio
import trio.testing

from echo.rpc import GRPCError, Limits, Server, Status
from echo.rpc.testing import memory_channel, memory_channel_to
from tests.support.services import BIDI, CODEC, ECHO, SERVER_STREAM, UNARY, BytesStream, Service, call, unary

LIMITS = Limits(max_message_size=200_000)
# What may lie between a handler that sends and a client that does not receive: the sender's buffer and one message
# more, the client's window, and what the client's decoder has taken for the message it waits for.
ON_THE_WAY = LIMITS.max_unsent + LIMITS.stream_window + 2 * 1_005


async def test_a_client_that_does_not_receive_stops_the_handler_and_finds_everything_later() -> None:
    sent = 0

    async def pour(stream: BytesStream) -> None:
        nonlocal sent
        for number in range(1_000):
            await stream.send_message(b"%1000d" % number)
            sent += 1

    async with (
        memory_channel([Service(Pour=(BIDI, pour)), ECHO], codec=CODEC, limits=LIMITS) as channel,
        call(channel, "Pour", BIDI) as stream,
    ):
        await stream.send_request()
        await trio.testing.wait_all_tasks_blocked()
        assert 64 < sent <= ON_THE_WAY / 1_000
        stopped_at = sent
        assert await unary(channel, "One", b"neighbour") == b"neighbour"
        assert sent == stopped_at
        assert [int(message) async for message in stream] == list(range(1_000))


async def test_a_handler_that_does_not_receive_stops_the_client() -> None:
    resume = trio.Event()
    received: list[int] = []

    async def reluctant(stream: BytesStream) -> None:
        await resume.wait()
        received.extend([int(message) async for message in stream])

    async with memory_channel([Service(Reluctant=(BIDI, reluctant))], codec=CODEC, limits=LIMITS) as channel:
        sent = 0
        async with call(channel, "Reluctant", BIDI) as stream, trio.open_nursery() as nursery:
            await stream.send_request()

            async def pour() -> None:
                nonlocal sent
                for number in range(1_000):
                    await stream.send_message(b"%1000d" % number)
                    sent += 1
                await stream.end()

            nursery.start_soon(pour)
            await trio.testing.wait_all_tasks_blocked()
            assert 64 < sent <= ON_THE_WAY / 1_000
            resume.set()
            assert await stream.recv_message() is None
    assert received == list(range(1_000))


async def test_a_sender_that_waits_for_the_window_can_be_cancelled() -> None:
    async def deaf(stream: BytesStream) -> None:
        await trio.sleep_forever()

    server = Server([Service(Deaf=(BIDI, deaf))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel:
        with trio.CancelScope() as scope:
            async with call(channel, "Deaf", BIDI) as stream, trio.open_nursery() as nursery:
                await stream.send_request()

                async def pour() -> None:
                    while True:
                        await stream.send_message(b"x" * 1_000)

                nursery.start_soon(pour)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert server.calls == 0
        assert channel.calls == 0


async def test_a_message_above_the_limit_is_refused_either_way() -> None:
    async def large(stream: BytesStream) -> None:
        await stream.recv_message()
        await stream.send_message(b"x" * (LIMITS.max_message_size + 1))

    async with memory_channel([ECHO, Service(Large=(UNARY, large))], codec=CODEC, limits=LIMITS) as channel:
        assert len(await unary(channel, "One", b"x" * LIMITS.max_message_size)) == LIMITS.max_message_size
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One", b"x" * (LIMITS.max_message_size + 1))
        assert raised.value.status is Status.RESOURCE_EXHAUSTED
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "Large")
        assert raised.value.status is Status.RESOURCE_EXHAUSTED
        assert await unary(channel, "One", b"still fine") == b"still fine"


async def test_a_busy_stream_does_not_starve_another() -> None:
    async def pour(stream: BytesStream) -> None:
        await stream.recv_message()
        while True:
            await stream.send_message(b"x")

    async with (
        memory_channel([Service(Pour=(SERVER_STREAM, pour)), ECHO], codec=CODEC) as channel,
        call(channel, "Pour", SERVER_STREAM) as stream,
        trio.open_nursery() as nursery,
    ):
        poured = 0

        async def drink() -> None:
            nonlocal poured
            await stream.send_message(b"")
            async for _ in stream:
                poured += 1

        nursery.start_soon(drink)
        with trio.fail_after(20):
            while poured < 1_000:
                await trio.lowlevel.checkpoint()
            before = poured
            await unary(channel, "One", b"me too")
            # The busy stream went on, but only for a moment.
            assert poured - before < 50_000
        nursery.cancel_scope.cancel()


async def test_calls_wait_in_turn_for_a_server_that_allows_one_at_a_time() -> None:
    order: list[bytes] = []

    async def slowly(stream: BytesStream) -> None:
        order.append(await stream.recv_message() or b"")
        await anyio.lowlevel.checkpoint()
        await stream.send_message(b"")

    limits = Limits(max_concurrent_streams=1)
    async with (
        memory_channel([Service(Slowly=(UNARY, slowly))], codec=CODEC, limits=limits) as channel,
        trio.open_nursery() as nursery,
    ):
        await unary(channel, "Slowly", b"first")
        for number in range(10):
            nursery.start_soon(unary, channel, "Slowly", b"%d" % number)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [b"first", *(b"%d" % number for number in range(10))]


async def test_a_call_that_is_cancelled_in_the_queue_leaves_its_stream_to_the_next(
    autojump_clock: trio.abc.Clock,
) -> None:
    release = trio.Event()

    async def hold(stream: BytesStream) -> None:
        await stream.recv_message()
        await release.wait()
        await stream.send_message(b"")

    server = Server([Service(Hold=(UNARY, hold))], codec=CODEC, limits=Limits(max_concurrent_streams=1))
    async with memory_channel_to(server, codec=CODEC) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(unary, channel, "Hold")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "Hold", timeout=1)
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        with trio.move_on_after(1):
            await unary(channel, "Hold")
        release.set()
        with trio.fail_after(20):
            await unary(channel, "Hold")


async def test_streams_beyond_the_server_s_limit_are_refused_one_by_one() -> None:
    async def hold(stream: BytesStream) -> None:
        await trio.sleep_forever()

    server = Server([Service(Hold=(UNARY, hold))], codec=CODEC, limits=Limits(max_concurrent_streams=3))
    async with memory_channel_to(server, codec=CODEC) as channel, trio.open_nursery() as nursery:
        outcomes: list[Status] = []

        async def one() -> None:
            try:
                await unary(channel, "Hold")
            except GRPCError as error:
                outcomes.append(error.status)

        for _ in range(3):
            nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        (session,) = channel._sessions
        session.connection._out.peer.max_concurrent_streams = 2**31 - 1  # A client that ignores the limits.
        for _ in range(5):
            nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == [Status.UNAVAILABLE] * 5
        assert server.calls == 3
        nursery.cancel_scope.cancel()


class Lingering:
    """A method whose handlers return only when they are let go, also when cancelled."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.started = 0
        self.let_go = trio.Event()

    async def __call__(self, stream: BytesStream) -> None:
        self.started += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await stream.recv_message()
            await stream.send_message(b"done")
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self.let_go.wait()
            self.running -= 1


async def test_a_call_that_replaces_a_reset_one_waits_for_its_handler_and_is_not_refused() -> None:
    lingering = Lingering()
    server = Server([Service(Linger=(BIDI, lingering))], codec=CODEC, limits=Limits(max_concurrent_streams=2))
    async with memory_channel_to(server, codec=CODEC) as channel:
        for _ in range(2):
            async with call(channel, "Linger", BIDI) as stream:
                await stream.send_message(b"")
                assert await stream.recv_message() == b"done"
        async with call(channel, "Linger", BIDI) as given_up:
            await given_up.send_message(b"")
            await trio.testing.wait_all_tasks_blocked()
        async with call(channel, "Linger", BIDI) as stream:
            await stream.send_message(b"")
            await trio.testing.wait_all_tasks_blocked()
            assert (lingering.started, server.calls) == (2, 2)
            lingering.let_go.set()
            with trio.fail_after(20):
                assert await stream.recv_message() == b"done"
    await trio.testing.wait_all_tasks_blocked()
    assert (lingering.started, lingering.most, lingering.running) == (3, 2, 0), "what was given up never began"


async def test_a_call_waiting_for_another_handler_notices_the_drain(autojump_clock: trio.abc.Clock) -> None:
    lingering = Lingering()
    server = Server([Service(Linger=(BIDI, lingering))], codec=CODEC, limits=Limits(max_concurrent_streams=1))
    async with memory_channel_to(server, codec=CODEC) as channel, trio.open_nursery() as nursery:
        async with call(channel, "Linger", BIDI) as stream:
            await stream.send_message(b"")
            assert await stream.recv_message() == b"done"
        async with call(channel, "Linger", BIDI) as stream:
            await stream.send_message(b"")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(server.drain, 1)
            await trio.sleep(1.5)
            lingering.let_go.set()
            with pytest.raises(GRPCError, match="shutting down"), trio.fail_after(20):
                await stream.recv_message()
    assert lingering.started == 1
    assert server.connections == 0


def test_the_default_limits_bound_the_memory_of_a_connection() -> None:
    limits = Limits()
    assert limits.max_concurrent_streams * (limits.stream_window + limits.max_unsent) < 16 * 2**20
    unlimited = {"max_connection_idle", "max_connection_age", "max_connection_age_grace"}  # As with other servers.
    assert {name for name in limits.__slots__ if not 0 < getattr(limits, name) < math.inf} == unlimited


async def test_a_receive_that_is_cancelled_loses_no_message() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel, call(channel, "Repeat", SERVER_STREAM) as stream:
        await stream.send_message(b"50")
        received: list[bytes | None] = []
        while len(received) < 50:
            with trio.CancelScope() as scope:
                if len(received) % 2:
                    scope.cancel()
                received.append(await stream.recv_message())
            if scope.cancelled_caught:
                with trio.CancelScope() as scope:
                    received.append(await stream.recv_message())
        assert received == [b"%d" % number for number in range(50)]
