"""Calls retried while their caller is still sending: sent messages are repeated in order, each one once."""

import pytest
import trio
import trio.testing

from echo.rpc import ClientStream, ProtocolError, Server
from echo.rpc.retry import MAX_TRANSPARENT_RETRIES
from tests.support.refusing import (
    CODEC,
    Due,
    Refuse,
    after,
    at_the_head,
    go_away,
    network,
    refuse,
    when_told,
)
from tests.support.services import BIDI, CLIENT_STREAM, SERVER_STREAM, UNARY, BytesStream, Service, call

REFUSALS = pytest.mark.parametrize("how", [refuse, go_away])
MESSAGES = [b"%d" % number for number in range(20)]

Stream = ClientStream[bytes, bytes]


async def send_all(stream: Stream, messages: list[bytes] = MESSAGES) -> None:
    for message in messages:
        await stream.send_message(message)
        await trio.lowlevel.checkpoint()
    await stream.end()


# Every kind of call


@REFUSALS
async def test_a_call_with_one_message_is_retried_before_it_is_sent(how: Refuse) -> None:
    async with network(how, 1, when_told) as (channel, world), call(channel, "One", UNARY) as stream:
        await stream.send_request()
        await world.refuse_held()
        await stream.send_message(b"hello")
        assert await stream.recv_message() == b"hello"
    async with network(how, 1, when_told) as (channel, world), call(channel, "Repeat", SERVER_STREAM) as stream:
        await stream.send_request()
        await world.refuse_held()
        await stream.send_message(b"2")
        assert [message async for message in stream] == [b"0", b"1"]


@REFUSALS
async def test_a_call_with_many_messages_is_retried_between_two_of_them(how: Refuse) -> None:
    async with network(how, 1, when_told) as (channel, world), call(channel, "Count", CLIENT_STREAM) as stream:
        await stream.send_message(b"x")
        await stream.send_message(b"x")
        await world.refuse_held()
        await stream.send_message(b"x")
        await stream.end()
        assert await stream.recv_message() == b"3"
        assert world.refusals[0].messages == [b"x", b"x"]


@REFUSALS
async def test_a_conversation_continues_after_its_first_attempt_was_refused(how: Refuse) -> None:
    async with network(how, 2, after(1)) as (channel, world), call(channel, "All", BIDI) as stream:
        for message in MESSAGES:
            await stream.send_message(message)
            assert await stream.recv_message() == message
        await stream.end()
        assert await stream.recv_message() is None
        assert (world.refused, world.served) == (2, 1)


# Two tasks


@REFUSALS
@pytest.mark.parametrize("when", [at_the_head, *map(after, range(1, len(MESSAGES), 3))])
@pytest.mark.parametrize("times", [1, MAX_TRANSPARENT_RETRIES])
async def test_after_a_refusal_every_message_arrives_once_in_order(how: Refuse, when: Due, times: int) -> None:
    async with (
        network(how, times, when) as (channel, world),
        call(channel, "All", BIDI) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.send_request()
        nursery.start_soon(send_all, stream)
        assert [message async for message in stream] == MESSAGES
        assert (world.refused, world.served) == (times, 1)


async def test_a_receiver_and_a_sender_share_one_retry() -> None:
    served: list[bytes] = []

    async def note(stream: BytesStream) -> None:
        served.append(b"called")
        async for message in stream:
            served.append(message)
            await stream.send_message(message)

    server = Server([Service(All=(BIDI, note))], codec=CODEC)
    async with (
        network(refuse, 1, when_told, server) as (channel, world),
        call(channel, "All", BIDI) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.send_message(b"first")
        received: list[bytes] = []

        async def receive() -> None:
            received.extend([message async for message in stream])

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        world.reachable = trio.Event()
        await world.refuse_held()
        nursery.start_soon(send_all, stream, [b"second", b"third"])
        await trio.testing.wait_all_tasks_blocked()
        assert served == []
        world.reachable.set()
        await trio.testing.wait_all_tasks_blocked()
        assert served == [b"called", b"first", b"second", b"third"]
        assert received == [b"first", b"second", b"third"]
    assert world.refusals[0].messages == [b"first"]


async def test_a_sender_retries_if_nobody_receives() -> None:
    async with network(refuse, 1, when_told) as (channel, world), call(channel, "All", BIDI) as stream:
        await stream.send_message(b"first")
        await world.refuse_held()
        await stream.send_message(b"second")
        await trio.testing.wait_all_tasks_blocked()
        assert world.served == 1
        await stream.end()
        assert [message async for message in stream] == [b"first", b"second"]


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
async def test_the_half_close_is_repeated_too(early: bool) -> None:
    async with network(refuse, 1, when_told) as (channel, world), call(channel, "All", BIDI) as stream:
        await stream.send_message(b"only")
        if early:
            await stream.end()
            await world.refuse_held()
            assert world.refusals[0].half_closed
        else:
            await world.refuse_held()
            await stream.end()
        assert [message async for message in stream] == [b"only"]
        with pytest.raises(ProtocolError):
            await stream.send_message(b"more")


async def test_waiting_for_the_trailers_retries_the_call_too() -> None:
    async with network(refuse, 1, when_told) as (channel, world), trio.open_nursery() as nursery:
        async with call(channel, "Repeat", SERVER_STREAM) as stream:
            await stream.send_message(b"0")
            nursery.start_soon(world.refuse_held)
            await stream.recv_trailing_metadata()
        assert world.served == 1


async def test_leaving_the_block_of_a_unary_call_waits_for_the_retry() -> None:
    async with network(refuse, 1, when_told) as (channel, world), trio.open_nursery() as nursery:
        async with call(channel, "One", UNARY) as stream:
            await stream.send_message(b"unheard")
            nursery.start_soon(world.refuse_held)
        assert stream.trailing_metadata is not None
        assert world.served == 1


async def test_leaving_early_is_no_error_even_if_the_call_was_refused_unnoticed() -> None:
    async with network(refuse, 1, when_told) as (channel, world):
        async with call(channel, "All", BIDI) as stream:
            await stream.send_message(b"x")
            await world.refuse_held()
        assert world.served == 0
        assert channel.calls == 0
