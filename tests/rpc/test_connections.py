"""Connections that end or fail: drained, reset, closed, unreachable, silent."""

import contextlib
import errno
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream, SocketAttribute

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.rpc import (
    Channel,
    GRPCError,
    Keepalive,
    Limits,
    Server,
    ServerStream,
    Status,
    open_channel,
    open_channel_over,
    open_tcp_listener,
)
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.transport.memory import MemoryStream, memory_stream_pair
from tests.support import http2_frames
from tests.support.services import BIDI, ECHO, UNARY, BytesCodec, BytesStream, Service, call, unary

Run = Callable[[Callable[[], Awaitable[None]]], None]
CODEC = BytesCodec()


class Handler:
    """A method that waits, and records how it ended."""

    def __init__(self) -> None:
        self.started = anyio.Event()
        self.cancelled = anyio.Event()
        self.release = anyio.Event()

    async def __call__(self, stream: BytesStream) -> None:
        try:
            self.started.set()
            await self.release.wait()
            await stream.send_message(b"done")
        except anyio.get_cancelled_exc_class():
            self.cancelled.set()
            raise


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[int]:
    """The server on a free port of the loopback."""
    async with anyio.create_task_group() as tasks:
        listener = await open_tcp_listener("127.0.0.1", 0)
        await tasks.start(server.serve, listener)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def outcome(channel: Channel, name: str, outcomes: list[Status | bytes]) -> None:
    try:
        outcomes.append(await unary(channel, name))
    except GRPCError as error:
        outcomes.append(error.status)


def test_calls_over_tcp(run: Run) -> None:
    async def main() -> None:
        server = Server([ECHO], codec=CODEC)
        async with serving(server) as port, open_channel("127.0.0.1", port, codec=CODEC) as channel:
            assert await unary(channel, "One", b"x" * 1_000_000) == b"x" * 1_000_000
            assert (server.connections, channel.connections) == (1, 1)
        assert server.connections == 0

    run(main)


def test_a_drain_lets_running_calls_finish_and_takes_no_new_ones(run: Run) -> None:
    async def main() -> None:
        handler = Handler()
        server = Server([Service(Wait=(UNARY, handler))], codec=CODEC)
        outcomes: list[Status | bytes] = []
        async with serving(server) as port, open_channel("127.0.0.1", port, codec=CODEC) as channel:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(outcome, channel, "Wait", outcomes)
                await handler.started.wait()
                tasks.start_soon(server.drain, 5)
                await anyio.wait_all_tasks_blocked()
                late: list[Status | bytes] = []
                await outcome(channel, "Wait", late)
                assert late == [Status.UNAVAILABLE]
                handler.release.set()
            assert outcomes == [b"done"]
            assert (server.connections, server.calls) == (0, 0)

    run(main)


def test_a_drain_whose_grace_is_over_cancels_with_unavailable(run: Run) -> None:
    async def main() -> None:
        handler = Handler()
        server = Server([Service(Wait=(UNARY, handler))], codec=CODEC)
        outcomes: list[Status | bytes] = []
        async with memory_channel_to(server, codec=CODEC) as channel, anyio.create_task_group() as tasks:
            tasks.start_soon(outcome, channel, "Wait", outcomes)
            await handler.started.wait()
            await server.drain(0.01)
            assert handler.cancelled.is_set()
            assert server.connections == 0
        assert outcomes == [Status.UNAVAILABLE]

    run(main)


async def test_a_drain_waits_no_longer_for_handlers_that_ignore_it(autojump_clock: trio.abc.Clock) -> None:
    started = trio.Event()

    async def stubborn(stream: BytesStream) -> None:
        started.set()
        with trio.move_on_after(30) as scope:
            scope.shield = True
            await trio.sleep_forever()

    server = Server([Service(Stubborn=(UNARY, stubborn))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel, trio.open_nursery() as nursery:
        outcomes: list[Status | bytes] = []
        nursery.start_soon(outcome, channel, "Stubborn", outcomes)
        await started.wait()
        before = trio.current_time()
        await server.drain(10)
        # A shielded task cannot be ended, but its client need not wait for it.
        assert trio.current_time() - before == pytest.approx(30)
    assert outcomes == [Status.UNAVAILABLE]


def test_draining_without_connections_ends_serving(run: Run) -> None:
    async def main() -> None:
        server = Server([ECHO], codec=CODEC)
        async with anyio.create_task_group() as tasks:
            listener = await open_tcp_listener("127.0.0.1", 0)
            port = listener.extra(SocketAttribute.local_port)
            await tasks.start(server.serve, listener)
            await server.drain(1)
        with pytest.raises(OSError, match=r".+"):
            await anyio.connect_tcp("127.0.0.1", port)

    run(main)


def test_the_channel_connects_again_after_a_drain(run: Run) -> None:
    async def main() -> None:
        servers = [Server([ECHO], codec=CODEC), Server([ECHO], codec=CODEC)]
        async with anyio.create_task_group() as connections:

            async def dial() -> ByteStream:
                ours, theirs = memory_stream_pair()
                connections.start_soon(servers[0].serve_connection, theirs)
                return ours

            async with open_channel_over(dial, "memory", codec=CODEC) as channel:
                await unary(channel, "One")
                await servers.pop(0).drain(1)
                await anyio.wait_all_tasks_blocked()
                assert channel.connections == 0
                await unary(channel, "One")
                assert channel.connections == 1

    run(main)


def test_a_vanished_client_cancels_its_handlers(run: Run) -> None:
    async def main() -> None:
        handler = Handler()
        server = Server([Service(Wait=(UNARY, handler))], codec=CODEC)
        streams: list[ByteStream] = []
        async with anyio.create_task_group() as connections:

            async def dial() -> ByteStream:
                ours, theirs = memory_stream_pair()
                streams.append(ours)
                connections.start_soon(server.serve_connection, theirs)
                return ours

            outcomes: list[Status | bytes] = []
            async with open_channel_over(dial, "memory", codec=CODEC) as channel, anyio.create_task_group() as tasks:
                tasks.start_soon(outcome, channel, "Wait", outcomes)
                await handler.started.wait()
                await streams[0].aclose()
                await handler.cancelled.wait()
            assert outcomes == [Status.UNAVAILABLE]
        assert server.connections == 0

    run(main)


def test_a_server_that_cannot_be_reached_is_unavailable_with_the_reason(run: Run) -> None:
    async def main() -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(SocketAttribute.local_port)
        async with open_channel("127.0.0.1", port, codec=CODEC) as channel:
            with pytest.raises(GRPCError) as raised:
                await unary(channel, "One")
        assert raised.value.status is Status.UNAVAILABLE
        assert raised.value.message == f"cannot connect to 127.0.0.1:{port}: Connection refused"

    run(main)


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


@pytest.mark.parametrize("who", ["client", "server"])
async def test_keepalive_finds_a_peer_that_is_gone(who: str, autojump_clock: trio.abc.Clock) -> None:
    """The network between them swallows everything after the first call."""
    handler = Handler()
    keepalive = Keepalive(time=10, timeout=5)
    server = Server(
        [Service(Wait=(UNARY, handler)), ECHO],
        codec=CODEC,
        keepalive=keepalive if who == "server" else None,
        limits=Limits(min_ping_interval=5),
    )
    async with trio.open_nursery() as network:
        hole = trio.CancelScope()

        async def carry(source: ByteStream, target: ByteStream) -> None:
            with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                async with source, target:
                    async for data in source:
                        if not hole.cancel_called:
                            await target.send(data)

        async def dial() -> ByteStream:
            ours, near = memory_stream_pair()
            far, theirs = memory_stream_pair()
            network.start_soon(carry, near, far)
            network.start_soon(carry, far, near)
            network.start_soon(server.serve_connection, theirs)
            return ours

        async with open_channel_over(
            dial, "memory", codec=CODEC, keepalive=keepalive if who == "client" else None
        ) as channel:
            outcomes: list[Status | bytes] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outcome, channel, "Wait", outcomes)
                await handler.started.wait()
                await trio.sleep(100)  # An answered PING now and then keeps the connection.
                assert server.connections == 1
                assert not outcomes
                hole.cancel()
                before = trio.current_time()
                if who == "server":
                    await handler.cancelled.wait()
                    assert trio.current_time() - before <= 15
                    nursery.cancel_scope.cancel()
            if who == "client":
                assert trio.current_time() - before <= 15
                assert outcomes == [Status.UNAVAILABLE]
        network.cancel_scope.cancel()


async def test_keepalive_keeps_a_peer_that_sends_data_but_answers_no_ping(autojump_clock: trio.abc.Clock) -> None:
    server = Server([ECHO], codec=CODEC, keepalive=Keepalive(time=10, timeout=5))
    ours, theirs = memory_stream_pair()
    pings = 0

    async def count_pings() -> None:
        nonlocal pings
        async for data in ours:
            pings += sum(frame.kind == http2_frames.PING for frame in http2_frames.parse(data))

    async with ours, trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_connection, theirs)
        nursery.start_soon(count_pings)
        await ours.send(http2_frames.PREFACE + http2_frames.settings())
        for _ in range(10):
            await trio.sleep(12)  # A PING has come after ten seconds; its answer is due after fifteen.
            await ours.send(http2_frames.window_update(0, 1))
        assert pings == 10
        assert server.connections == 1
        await trio.sleep(15.1)
        assert server.connections == 0


async def test_a_client_that_is_told_too_many_pings_pings_less_often(autojump_clock: trio.abc.Clock) -> None:
    release = trio.Event()

    async def wait(stream: BytesStream) -> None:
        await release.wait()
        await stream.send_message(b"done")

    server = Server([Service(Wait=(UNARY, wait))], codec=CODEC, limits=Limits(min_ping_interval=50))
    async with trio.open_nursery() as connections:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            connections.start_soon(server.serve_connection, theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC, keepalive=Keepalive(time=10)) as channel:
            outcomes: list[Status | bytes] = []
            for _ in range(3):
                await outcome(channel, "Wait", outcomes)  # Intervals of 10, 20 and 40 seconds.
            assert outcomes == [Status.UNAVAILABLE] * 3
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outcome, channel, "Wait", outcomes)
                await trio.sleep(1_000)  # At 80 seconds the server does not mind.
                release.set()
            assert outcomes[-1] == b"done"


def test_leaving_the_channel_s_block_ends_what_is_open(run: Run) -> None:
    async def main() -> None:
        handler = Handler()
        server = Server([Service(Wait=(BIDI, handler))], codec=CODEC)
        with pytest.raises(LookupError):
            async with memory_channel_to(server, codec=CODEC) as channel, call(channel, "Wait", BIDI) as stream:
                await stream.send_request()
                await handler.started.wait()
                raise LookupError
        assert handler.cancelled.is_set()
        assert (server.calls, server.connections, channel.calls, channel.connections) == (0, 0, 0, 0)

    run(main)


def test_cancelling_the_server_cancels_its_handlers(run: Run) -> None:
    async def main() -> None:
        handler = Handler()
        server = Server([Service(Wait=(UNARY, handler))], codec=CODEC)
        outcomes: list[Status | bytes] = []
        async with anyio.create_task_group() as serving_tasks:
            listener = await open_tcp_listener("127.0.0.1", 0)
            await serving_tasks.start(server.serve, listener)
            async with (
                open_channel("127.0.0.1", listener.extra(SocketAttribute.local_port), codec=CODEC) as channel,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(outcome, channel, "Wait", outcomes)
                await handler.started.wait()
                serving_tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await handler.cancelled.wait()
        assert (server.calls, server.connections) == (0, 0)

    run(main)


async def test_a_connection_that_speaks_nonsense_leaves_the_others_alone() -> None:
    server = Server([ECHO], codec=CODEC)
    async with serving(server) as port, open_channel("127.0.0.1", port, codec=CODEC) as channel:
        await unary(channel, "One")
        for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(nonsense)
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    while True:
                        await stream.receive()
        assert await unary(channel, "One", b"fine") == b"fine"
        assert server.connections == 1


async def test_calls_are_refused_once_the_channel_is_closed() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel:
        await unary(channel, "One")
    with pytest.raises(GRPCError, match="closed"):
        await unary(channel, "One")


def test_a_connection_does_not_inherit_the_context_of_its_first_call(run: Run) -> None:
    caller: ContextVar[str] = ContextVar("caller", default="nobody")
    seen = []

    async def main() -> None:
        server = Server([ECHO], codec=CODEC)
        async with anyio.create_task_group() as connections:

            async def dial() -> MemoryStream:
                seen.append(caller.get())
                ours, theirs = memory_stream_pair()
                connections.start_soon(server.serve_connection, theirs)
                return ours

            caller.set("who opened it")
            async with open_channel_over(dial, "memory", codec=CODEC) as channel:
                caller.set("the first caller")
                assert await unary(channel, "One", b"x") == b"x"
            connections.cancel_scope.cancel()

    run(main)
    assert seen == ["who opened it"]


async def test_a_connection_keeps_nothing_of_ended_calls() -> None:
    class Announced(StreamingServerBase):  # Generated, so that its calls are announced.
        async def bidirectional_stream(
            self, stream_message_iterator: AsyncIterator[StreamMessage]
        ) -> AsyncIterator[StreamResponse]:
            async for _ in stream_message_iterator:
                yield StreamResponse()

    async with memory_channel([Announced()]) as channel:
        for _ in range(3):
            request = channel.request(
                "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream", BIDI, StreamMessage, StreamResponse
            )
            async with request as stream:
                await stream.send_message(StreamMessage(stream_id="a"), end=True)
                assert [len(reply.response) async for reply in stream] == [0]
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, ServerStream)]
