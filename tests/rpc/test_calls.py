"""All four call types, on trio and on asyncio, over streams in memory."""

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream
from grpclib.events import (
    RecvInitialMetadata,
    RecvMessage,
    RecvRequest,
    RecvTrailingMetadata,
    SendInitialMetadata,
    SendMessage,
    SendRequest,
    SendTrailingMetadata,
    listen,
)

from echo.rpc import Channel, ProtocolError, Server, open_channel_over
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.transport import memory_stream_pair
from tests.support.services import (
    BIDI,
    CLIENT_STREAM,
    CODEC,
    ECHO,
    SERVER_STREAM,
    UNARY,
    BytesStream,
    Service,
    call,
    on_both_loops,
    unary,
)


@on_both_loops
async def test_all_four_call_types_work() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel:
        assert await unary(channel, "One", b"hello") == b"hello"

        async with call(channel, "Count", CLIENT_STREAM) as stream:
            for _ in range(10):
                await stream.send_message(b"x")
            await stream.end()
            assert await stream.recv_message() == b"10"

        async with call(channel, "Repeat", SERVER_STREAM) as stream:
            await stream.send_message(b"5")
            assert [message async for message in stream] == [b"0", b"1", b"2", b"3", b"4"]

        async with call(channel, "All", BIDI) as stream:
            for number in range(5):
                await stream.send_message(b"%d" % number)
                assert await stream.recv_message() == b"%d" % number
            await stream.end()
            assert await stream.recv_message() is None
        assert channel.calls == 0


@on_both_loops
async def test_an_empty_stream_and_empty_messages_are_calls_too() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel:
        async with call(channel, "Count", CLIENT_STREAM) as stream:
            await stream.send_request(end=True)
            assert await stream.recv_message() == b"0"
        assert await unary(channel, "One", b"") == b""
        async with call(channel, "Repeat", SERVER_STREAM) as stream:
            await stream.send_message(b"0")
            assert await stream.recv_message() is None


@on_both_loops
async def test_messages_larger_than_every_window_pass_both_ways() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel:
        message = bytes(range(256)) * 12_000  # 3 MB
        assert await unary(channel, "One", message) == message


@on_both_loops
async def test_many_calls_at_once_share_a_connection_within_the_server_s_limit() -> None:
    running = 0
    most = 0

    async def slow(stream: BytesStream) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        message = await stream.recv_message()
        assert message is not None
        await stream.send_message(message)
        running -= 1

    server = Server([Service(Slow=(UNARY, slow))], codec=CODEC)
    replies: set[bytes] = set()

    async def one(channel: Channel, number: int) -> None:
        replies.add(await unary(channel, "Slow", b"%d" % number))

    async with memory_channel_to(server, codec=CODEC) as channel, anyio.create_task_group() as tasks:
        for number in range(1_000):
            tasks.start_soon(one, channel, number)
    assert len(replies) == 1_000
    assert 1 < most <= 100
    assert server.calls == 0


@on_both_loops
async def test_a_call_may_be_ended_before_anything_else() -> None:
    """So that a loop that sends messages may find none."""

    async with memory_channel([ECHO], codec=CODEC) as channel:
        async with call(channel, "Count", CLIENT_STREAM) as stream:
            await stream.end()
            assert await stream.recv_message() == b"0"
        async with call(channel, "All", BIDI) as stream:
            await stream.end()
            with pytest.raises(ProtocolError):
                await stream.end()
            assert await stream.recv_message() is None
        async with call(channel, "One", UNARY) as stream:
            with pytest.raises(ProtocolError, match="takes one message, which was not sent"):
                await stream.end()


@pytest.mark.parametrize("cancelled", [False, True])
@on_both_loops
async def test_two_tasks_that_send_first_make_one_call(cancelled: bool) -> None:
    """The second waits while the first connects, and opens the call itself if the first is cancelled."""

    server, first = Server([ECHO], codec=CODEC), anyio.CancelScope()
    async with anyio.create_task_group() as connections:

        async def dial() -> ByteStream:
            await anyio.wait_all_tasks_blocked()  # Both wait for this.
            if cancelled:
                first.cancel()
                await anyio.wait_all_tasks_blocked()
            ours, theirs = memory_stream_pair()
            connections.start_soon(server.serve_connection, theirs)
            return ours

        async def send_first() -> None:
            with first:
                await stream.send_message(b"1")

        async with open_channel_over(dial, "memory", codec=CODEC) as channel:
            async with call(channel, "All", BIDI) as stream:
                async with anyio.create_task_group() as senders:
                    senders.start_soon(send_first)
                    await anyio.lowlevel.checkpoint()
                    senders.start_soon(stream.send_message, b"2")
                assert channel.calls == 1
                await stream.end()
                expected = {b"2"} if cancelled else {b"1", b"2"}
                assert {message async for message in stream} == expected
            assert channel.calls == 0


@on_both_loops
async def test_using_a_stream_in_the_wrong_order_is_an_error() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel:
        async with call(channel, "All", BIDI) as stream:
            for early in (stream.recv_message, stream.recv_initial_metadata, stream.cancel):
                with pytest.raises(ProtocolError, match=r"send a message, or await send_request\(\)$"):
                    await early()
            await stream.send_request()
            with pytest.raises(ProtocolError):
                await stream.send_request()
            await stream.end()
            with pytest.raises(ProtocolError):
                await stream.send_message(b"x")
        async with call(channel, "One", UNARY) as stream:
            with pytest.raises(ProtocolError):
                await stream.send_request(end=True)


@on_both_loops
async def test_grpclib_s_events_are_dispatched_on_both_sides() -> None:
    seen: list[str] = []

    async def note(event: object) -> None:
        seen.append(type(event).__name__)

    async def change(event: RecvMessage) -> None:
        event.message = event.message.upper()

    server = Server([ECHO], codec=CODEC)
    for kind in (RecvRequest, RecvMessage, SendInitialMetadata, SendMessage, SendTrailingMetadata):
        listen(server, kind, note)
    listen(server, RecvMessage, change)
    async with memory_channel_to(server, codec=CODEC) as channel:
        assert await unary(channel, "One", b"shout") == b"SHOUT"
    assert seen == ["RecvRequest", "RecvMessage", "SendInitialMetadata", "SendMessage", "SendTrailingMetadata"]
    seen.clear()
    async with memory_channel_to(Server([ECHO], codec=CODEC), codec=CODEC) as channel:
        for client_kind in (SendRequest, SendMessage, RecvInitialMetadata, RecvMessage, RecvTrailingMetadata):
            listen(channel, client_kind, note)
        await unary(channel, "One")
    assert seen == ["SendRequest", "SendMessage", "RecvInitialMetadata", "RecvTrailingMetadata", "RecvMessage"]
