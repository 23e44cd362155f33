"""How connections and calls end when the other side misbehaves, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from echo.rpc import Channel, GRPCError, Limits, Server, Status, StreamTerminatedError
from echo.rpc.channels import open_channel_over
from echo.rpc.testing import memory_channel_to
from echo.transport.memory import memory_stream_pair
from echo.wire.client import ClientConnection
from echo.wire.head import Request
from echo.wire.stream import Stream
from tests.support.pair import frames, settings
from tests.support.services import BIDI, ECHO, UNARY, BytesCodec, BytesStream, Run, Service, call, path, unary
from tests.support.throttled import ThrottledStream

CODEC = BytesCodec()
INITIAL_WINDOW_SIZE = 4


@asynccontextmanager
async def raw_client(server: Server, *said: bytes) -> AsyncIterator[tuple[ByteStream, ClientConnection[Stream]]]:
    """A client by hand that has begun."""
    ours, theirs = memory_stream_pair(1_000)
    client = ClientConnection(Limits(), Stream)
    client.start()
    async with trio.open_nursery() as nursery, ours:
        nursery.start_soon(server.serve_connection, theirs)
        await ours.send(client.take_output() + b"".join(said))
        yield ours, client
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def deaf_server(said: bytearray, greeting: bytes, limits: Limits = Limits()) -> AsyncIterator[Channel]:
    """A channel to a server that greets and then only listens; what it hears is added to ``said``."""

    async def listen(stream: ByteStream) -> None:
        async with stream:
            await stream.send(greeting)
            async for data in stream:
                said.extend(data)

    async def dial() -> ByteStream:
        ours, theirs = memory_stream_pair(100)
        nursery.start_soon(listen, theirs)
        return ours

    async with trio.open_nursery() as nursery, open_channel_over(dial, "memory", codec=CODEC, limits=limits) as channel:
        yield channel


async def heard(stream: ByteStream) -> bytes:
    """Everything that arrives until the other side closes."""
    received = b""
    try:
        while True:
            received += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return received


@pytest.mark.parametrize(
    "limits",
    [Limits(max_connection_idle=60), Limits(max_connection_age=60)],
    ids=["idle for too long", "as old as may be"],
)
async def test_a_client_that_ignores_a_drain_s_ping_is_disconnected(
    limits: Limits, autojump_clock: trio.abc.Clock
) -> None:
    server = Server([ECHO], codec=CODEC, limits=limits)
    async with raw_client(server) as (stream, _):
        goaways = [frame for frame in frames(await heard(stream)) if isinstance(frame, GoAwayFrame)]
        assert [goaway.last_stream_id for goaway in goaways] == [2**31 - 1, 0]
        assert 50 < trio.current_time() < 80
    assert server.connections == 0


async def test_replies_completed_within_the_grace_period_are_delivered_in_full(
    autojump_clock: trio.abc.Clock,
) -> None:
    large = bytes(200 * 1024)
    server = Server([ECHO], codec=CODEC)
    ours, theirs = memory_stream_pair()
    slow = ThrottledStream(theirs, 40 * 1024)  # Five seconds.

    async def dial() -> ByteStream:
        nursery.start_soon(server.serve_connection, slow)
        return ours

    wide = Limits(stream_window=2**20)
    async with trio.open_nursery() as nursery, open_channel_over(dial, "memory", codec=CODEC, limits=wide) as channel:
        replies: list[bytes] = []

        async def ask() -> None:
            replies.append(await unary(channel, "One", large))

        nursery.start_soon(ask)
        await trio.sleep(1.5)
        await server.drain(20)
        assert 3 < trio.current_time() < 12
    assert replies == [large]


async def test_a_window_that_stays_shut_cancels_the_call_and_no_other(autojump_clock: trio.abc.Clock) -> None:
    ended: list[BaseException | None] = []

    async def pour(stream: BytesStream) -> None:
        try:
            while True:
                await stream.send_message(b"x" * 10_000)
        except StreamTerminatedError as error:
            ended.append(error)
            raise

    server = Server([ECHO, Service(Pour=(BIDI, pour))], codec=CODEC, limits=Limits(window_timeout=100))
    async with raw_client(server, settings({INITIAL_WINDOW_SIZE: 0})) as (stream, client):
        client.open(Request(path("Pour")))
        await stream.send(client.take_output())
        said = b""
        with trio.move_on_after(99):
            while True:
                said += await stream.receive()
        assert not ended
        with trio.move_on_after(2):
            while True:
                said += await stream.receive()
        (error,) = ended
        assert str(error) == "the other side took no data of the call for 100 s"
        resets = [frame for frame in frames(said) if isinstance(frame, RstStreamFrame)]
        assert [reset.error_code for reset in resets] == [ErrorCodes.CANCEL]
        assert (server.connections, server.calls) == (1, 0)


async def test_a_window_that_opens_slowly_is_waited_for(autojump_clock: trio.abc.Clock) -> None:
    async def pour(stream: BytesStream) -> None:
        for _ in range(20):
            await stream.send_message(b"x" * 10_000)

    server = Server([Service(Pour=(BIDI, pour))], codec=CODEC, limits=Limits(window_timeout=100))
    async with raw_client(server, settings({INITIAL_WINDOW_SIZE: 0})) as (stream, client):
        client.open(Request(path("Pour")))
        await stream.send(client.take_output())
        for size in range(1_000, 30_000, 1_000):  # Half an hour and more, never enough for all.
            await trio.sleep(90)
            await stream.send(settings({INITIAL_WINDOW_SIZE: size}))
        assert server.calls == 1
        await stream.send(settings({INITIAL_WINDOW_SIZE: 10**6}))
        await trio.testing.wait_all_tasks_blocked()
        assert server.calls == 0


async def test_a_server_whose_window_stays_shut_ends_the_call_with_a_reason(autojump_clock: trio.abc.Clock) -> None:
    said = bytearray()
    async with deaf_server(said, settings({INITIAL_WINDOW_SIZE: 0}), Limits(window_timeout=100)) as channel:
        with pytest.raises(GRPCError) as raised:
            async with call(channel, "All", BIDI) as stream:
                while True:
                    await stream.send_message(b"x" * 10_000)
        assert raised.value.status is Status.UNAVAILABLE
        assert raised.value.message == "the other side took no data of the call for 100 s"
        assert trio.current_time() == pytest.approx(100)
        await trio.testing.wait_all_tasks_blocked()
        (reset,) = [frame for frame in frames(bytes(said)) if isinstance(frame, RstStreamFrame)]
        assert reset.error_code == ErrorCodes.CANCEL


async def test_a_call_whose_channel_is_closed_by_another_task_is_told_so(autojump_clock: trio.abc.Clock) -> None:
    errors: list[GRPCError] = []

    async def use(channel: Channel) -> None:
        with pytest.raises(GRPCError) as raised:
            async with call(channel, "All", BIDI) as stream:
                await stream.send_message(b"x")
                assert await stream.recv_message() == b"x"
                await stream.recv_message()
        errors.append(raised.value)

    server = Server([ECHO], codec=CODEC)
    async with trio.open_nursery() as nursery, memory_channel_to(server, codec=CODEC) as channel:
        nursery.start_soon(use, channel)
        await trio.testing.wait_all_tasks_blocked()
    (error,) = errors
    assert error.status is Status.UNAVAILABLE
    assert error.message is not None
    assert error.message.endswith(": the channel was closed")


async def test_a_call_that_has_failed_raises_its_status_when_it_is_left_unread(autojump_clock: trio.abc.Clock) -> None:
    async def refuse(_: BytesStream) -> None:
        raise GRPCError(Status.NOT_FOUND, "no such thing")

    async with memory_channel_to(Server([Service(No=(BIDI, refuse))], codec=CODEC), codec=CODEC) as channel:
        with pytest.raises(GRPCError, match="no such thing"):
            async with call(channel, "No", BIDI) as stream:
                await stream.send_message(b"x")
                await trio.testing.wait_all_tasks_blocked()


async def test_a_shielded_handler_cannot_send_on_a_connection_that_is_gone(autojump_clock: trio.abc.Clock) -> None:
    gone, errors = trio.Event(), list[StreamTerminatedError]()

    async def hold(stream: BytesStream) -> None:
        with trio.CancelScope(shield=True):
            await stream.send_message(b"x")
            await gone.wait()
            with pytest.raises(StreamTerminatedError) as raised:
                await stream.send_message(b"x")
            errors.append(raised.value)

    async with raw_client(Server([Service(Hold=(BIDI, hold))], codec=CODEC)) as (stream, client):
        client.open(Request(path("Hold")))
        await stream.send(client.take_output())
        await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        gone.set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(errors) == 1


async def test_a_client_within_its_limit_is_not_refused_while_old_handlers_still_run(
    autojump_clock: trio.abc.Clock,
) -> None:
    async def lingering(stream: BytesStream) -> None:
        message = await stream.recv_message()
        assert message is not None
        await stream.send_message(message)
        await stream.send_trailing_metadata()
        await trio.sleep(5)  # The client has received its answer.

    server = Server([Service(One=(UNARY, lingering))], codec=CODEC, limits=Limits(max_concurrent_streams=2))
    async with memory_channel_to(server, codec=CODEC) as channel:
        for number in range(6):
            assert await unary(channel, "One", b"%d" % number) == b"%d" % number
            assert server.calls <= 2


@pytest.mark.parametrize("who", ["a task that outlives the handler", "the handler itself"])
def test_receiving_from_a_call_that_we_have_ended_is_an_error(who: str, run: Run) -> None:
    """The client has not half-closed the call, so there might have been another message."""

    async def receive(stream: BytesStream, over: anyio.Event) -> None:
        with pytest.raises(StreamTerminatedError, match="the call is over"):
            await stream.recv_message()
        over.set()

    async def test() -> None:
        over = anyio.Event()

        async def handler(stream: BytesStream) -> None:
            await stream.recv_message()
            if who == "the handler itself":
                await stream.send_trailing_metadata()
                await receive(stream, over)
            else:
                others.start_soon(receive, stream, over)
                await anyio.wait_all_tasks_blocked()

        server = Server([Service(Do=(BIDI, handler))], codec=CODEC)
        async with anyio.create_task_group() as others, memory_channel_to(server, codec=CODEC) as channel:
            async with call(channel, "Do", BIDI) as stream:
                await stream.send_message(b"hello")
                assert await stream.recv_message() is None
            await over.wait()

    run(test)


def test_a_handler_that_goes_on_after_its_call_is_cancelled_with_the_connection(run: Run) -> None:
    async def test() -> None:
        cancelled = anyio.Event()

        async def handler(stream: BytesStream) -> None:
            await stream.recv_message()
            await stream.send_trailing_metadata()
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.set()

        server = Server([Service(Do=(BIDI, handler))], codec=CODEC)
        async with memory_channel_to(server, codec=CODEC) as channel, call(channel, "Do", BIDI) as stream:
            await stream.send_message(b"hello")
            assert await stream.recv_message() is None
            assert server.calls == 1
            await channel.close()
            await cancelled.wait()

    run(test)


async def test_a_call_past_its_deadline_is_reset_although_nobody_waits_for_it(autojump_clock: trio.abc.Clock) -> None:
    running = trio.Event()
    gone = trio.Event()

    async def hold(stream: BytesStream) -> None:
        running.set()
        try:
            await trio.sleep_forever()
        finally:
            gone.set()

    server = Server([Service(Hold=(BIDI, hold))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel:
        async with call(channel, "Hold", BIDI, timeout=5) as stream:
            await stream.send_message(b"x")
            await running.wait()
            await trio.sleep(60)  # Somewhere else than in the stream.
            assert gone.is_set()
            assert channel.calls == 0
            with pytest.raises(GRPCError) as raised:
                await stream.send_message(b"y")
            assert raised.value.status is Status.DEADLINE_EXCEEDED
        assert trio.current_time() == pytest.approx(60)


async def test_a_deadline_resets_the_stream_if_the_server_ignores_it(autojump_clock: trio.abc.Clock) -> None:
    said = bytearray()
    async with deaf_server(said, settings({})) as channel:
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One", b"x", timeout=3)
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        assert trio.current_time() == pytest.approx(3)
        await trio.testing.wait_all_tasks_blocked()
        (reset,) = [frame for frame in frames(bytes(said)) if isinstance(frame, RstStreamFrame)]
        assert reset.error_code == ErrorCodes.CANCEL


async def test_thousands_of_calls_with_deadlines_leave_nothing_behind(autojump_clock: trio.abc.Clock) -> None:
    async with memory_channel_to(Server([ECHO], codec=CODEC), codec=CODEC) as channel:
        for _ in range(1_000):
            await unary(channel, "One", b"x", timeout=3_600)
        (session,) = channel._sessions
        assert len(session._deadlines._heap) < 200
