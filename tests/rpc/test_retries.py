"""Transparent retries of calls that no server has processed, and their limits."""

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes

from echo.rpc import ClientStream, GRPCError, Limits, Server, Status
from echo.rpc.retry import MAX_TRANSPARENT_RETRIES
from echo.transport.client_call import MAX_KEPT
from echo.wire.message import PREFIX_SIZE
from echo.wire.server import ServerConnection
from echo.wire.stream import Stream as WireStream
from tests.support.refusing import (
    CODEC,
    Due,
    Network,
    Refuse,
    after,
    answer_and_refuse,
    at_the_end,
    at_the_head,
    go_away,
    network,
    refuse,
    when_told,
)
from tests.support.services import BIDI, CLIENT_STREAM, SERVER_STREAM, BytesStream, Service, call, unary

Stream = ClientStream[bytes, bytes]


@pytest.mark.parametrize("how", [refuse, go_away])
@pytest.mark.parametrize("when", [at_the_head, at_the_end])
async def test_an_unprocessed_call_is_retried_transparently(how: Refuse, when: Due) -> None:
    async with network(how, 2, when) as (channel, world):
        assert await unary(channel, "One", b"hello") == b"hello"
        assert world.refused == 2


async def test_a_stream_whose_messages_are_all_sent_is_retried() -> None:
    async with network(refuse, 1, at_the_end) as (channel, _), call(channel, "Repeat", SERVER_STREAM) as stream:
        await stream.send_message(b"3")
        assert [message async for message in stream] == [b"0", b"1", b"2"]
    async with network(refuse, 1, at_the_end) as (channel, _), call(channel, "Count", CLIENT_STREAM) as stream:
        for _ in range(5):
            await stream.send_message(b"x")
        await stream.end()
        assert await stream.recv_message() == b"5"
    async with network(refuse, 1, at_the_end) as (channel, _), call(channel, "Count", CLIENT_STREAM) as stream:
        await stream.send_request(end=True)
        assert await stream.recv_message() == b"0"


async def test_attempts_are_limited() -> None:
    async with network(refuse, 100) as (channel, world):
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.UNAVAILABLE
        assert world.refused == 1 + MAX_TRANSPARENT_RETRIES


async def test_a_call_that_the_server_may_have_seen_is_not_repeated() -> None:
    def cancel(connection: ServerConnection[WireStream], stream: WireStream) -> None:
        connection.reset(stream, ErrorCodes.CANCEL)

    async with network(cancel, 1) as (channel, world):
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.CANCELLED
        assert world.refused == 1


# Where it ends


async def fails(stream: Stream, status: Status, match: str) -> None:
    with pytest.raises(GRPCError, match=match) as raised:
        await stream.recv_message()
    assert raised.value.status is status


def filling(size: int) -> list[bytes]:
    """Messages of so many bytes together, prefixes included."""
    first = b"x" * 1_000
    return [first, b"y" * (size - len(first) - 2 * PREFIX_SIZE)]


@pytest.mark.parametrize("limits", [Limits(), Limits(max_unsent=10_000)], ids=["MAX_KEPT", "max_unsent"])
async def test_exactly_the_kept_messages_are_sent_again(limits: Limits) -> None:
    kept = min(MAX_KEPT, limits.max_unsent)
    async with network(refuse, 1, when_told, limits=limits) as (channel, world), call(channel, "All", BIDI) as stream:
        for message in filling(kept):
            await stream.send_message(message)
        await world.refuse_held()
        assert [await stream.recv_message() for _ in range(2)] == filling(kept)
        await stream.cancel()
    async with network(refuse, 1, when_told, limits=limits) as (channel, world), call(channel, "All", BIDI) as stream:
        for message in filling(kept + 1):
            await stream.send_message(message)
        await world.refuse_held()
        await fails(stream, Status.UNAVAILABLE, "reset")
        assert world.served == 0


async def test_empty_messages_count_by_their_prefix() -> None:
    number = MAX_KEPT // PREFIX_SIZE
    for extra in (0, 1):
        async with network(refuse, 1, when_told) as (channel, world), call(channel, "Count", CLIENT_STREAM) as stream:
            for _ in range(number + extra):
                await stream.send_message(b"")
            await world.refuse_held()
            if extra:
                await fails(stream, Status.UNAVAILABLE, "reset")
            else:
                await stream.end()
                assert await stream.recv_message() == b"%d" % number


async def test_an_answered_call_is_never_retried() -> None:
    async with network(answer_and_refuse, 1, when_told) as (channel, world), call(channel, "All", BIDI) as stream:
        await stream.send_message(b"x")
        await world.refuse_held()
        await fails(stream, Status.UNAVAILABLE, "reset")
        with pytest.raises(GRPCError):
            await stream.send_message(b"x")
        assert (world.refused, world.served) == (1, 0)


async def test_attempts_are_bounded_also_where_two_tasks_make_them() -> None:
    async with (
        network(refuse, 100, after(1)) as (channel, world),
        call(channel, "All", BIDI) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.send_request()

        async def send() -> None:
            with pytest.raises(GRPCError):
                while True:
                    await stream.send_message(b"x")
                    await trio.lowlevel.checkpoint()

        nursery.start_soon(send)
        await fails(stream, Status.UNAVAILABLE, "reset")
    assert world.refused == 1 + MAX_TRANSPARENT_RETRIES


async def test_the_deadline_stays_the_same_for_both(autojump_clock: trio.abc.Clock) -> None:
    began = trio.current_time()
    async with (
        network(refuse, 1, when_told) as (channel, world),
        call(channel, "All", BIDI, timeout=10) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.send_message(b"x")
        await trio.sleep(6)
        world.reachable = trio.Event()
        await world.refuse_held()

        async def send() -> None:
            with pytest.raises(GRPCError) as raised:
                await stream.send_message(b"x")
            assert raised.value.status is Status.DEADLINE_EXCEEDED

        nursery.start_soon(send)
        await fails(stream, Status.DEADLINE_EXCEEDED, "deadline")
        assert trio.current_time() - began == pytest.approx(10)


async def test_a_retry_sends_the_rest_of_the_deadline(autojump_clock: trio.abc.Clock) -> None:
    async def left(stream: BytesStream) -> None:
        assert stream.deadline is not None
        await stream.send_message(b"%.0f" % stream.deadline.time_remaining())

    server = Server([Service(Left=(BIDI, left))], codec=CODEC)
    async with (
        network(refuse, 1, when_told, server) as (channel, world),
        call(channel, "Left", BIDI, timeout=10) as stream,
    ):
        await stream.send_request()
        await trio.sleep(6)
        await world.refuse_held()
        assert await stream.recv_message() == b"4"


async def test_without_another_connection_both_tasks_get_the_reason() -> None:
    async with (
        network(refuse, 1, when_told) as (channel, world),
        call(channel, "All", BIDI) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.send_message(b"x")

        async def send() -> None:
            with pytest.raises(GRPCError, match="nobody there"):
                await stream.send_message(b"x")

        world.failure = "nobody there"
        await world.refuse_held()
        nursery.start_soon(send)
        await fails(stream, Status.UNAVAILABLE, "nobody there")
        with pytest.raises(GRPCError, match="nobody there"):
            await stream.recv_trailing_metadata()
    async with network(refuse, 1, when_told) as (channel, world), call(channel, "All", BIDI) as stream:
        await stream.send_message(b"x")
        world.failure = "nobody there"
        await world.refuse_held()
        with pytest.raises(GRPCError, match="nobody there"):
            await stream.recv_trailing_metadata()


# Leaving off


async def cancelled_while_made_anew(stream: Stream, world: Network) -> None:
    await stream.send_message(b"x")
    world.reachable = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails, stream, Status.CANCELLED, "by its caller")
        await trio.testing.wait_all_tasks_blocked()
        await world.refuse_held()
        await stream.cancel()


async def test_a_call_that_is_cancelled_during_its_retry_is_over() -> None:
    called = False

    async def note(stream: BytesStream) -> None:
        nonlocal called
        called = True

    server = Server([Service(All=(BIDI, note))], codec=CODEC)
    async with network(refuse, 1, when_told, server) as (channel, world):
        async with call(channel, "All", BIDI) as stream:
            await cancelled_while_made_anew(stream, world)
            world.reachable.set()
            await trio.testing.wait_all_tasks_blocked()
        assert not called
        assert channel.calls == 0


async def test_a_receive_cancelled_during_a_retry_can_be_repeated() -> None:
    async with network(refuse, 1, when_told) as (channel, world), call(channel, "All", BIDI) as stream:
        await stream.send_message(b"x")
        world.reachable = trio.Event()
        await world.refuse_held()
        for _ in range(MAX_TRANSPARENT_RETRIES + 2):  # These do not count, as they opened nothing.
            with trio.CancelScope() as scope:
                scope.cancel()
                await stream.recv_message()
        world.reachable.set()
        assert await stream.recv_message() == b"x"
        assert channel.calls == 1


async def test_the_status_of_a_retry_that_ends_at_once_is_reported() -> None:
    async def refuse_politely(stream: BytesStream) -> None:
        raise GRPCError(Status.PERMISSION_DENIED, "not you")

    server = Server([Service(All=(BIDI, refuse_politely))], codec=CODEC)
    async with network(refuse, 1, when_told, server) as (channel, world), call(channel, "All", BIDI) as stream:
        await stream.send_message(b"x")
        await world.refuse_held()
        await fails(stream, Status.PERMISSION_DENIED, "not you")
