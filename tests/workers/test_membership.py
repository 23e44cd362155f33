"""A worker's side of the channel, against a parent that the test plays."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from echo.workers import CHANNEL, Membership
from echo.workers.channel import ParentChannel, channel_pair
from echo.workers.messages import (
    LAST_WORD,
    Ask,
    Connection,
    Counts,
    End,
    FromWorker,
    Leaving,
    Part,
    Ping,
    Ready,
    Retire,
    Stop,
)
from tests.support.quiet_clock import QuietClock

pytestmark = pytest.mark.usefixtures("nothing_left")


class Parent:
    """The parent's end, and the worker that belongs to it.

    Attributes:
        worker: It.
        ended: Set when its `run` has ended.
    """

    def __init__(self, answer: bytes | Exception = b"") -> None:
        ours, theirs = channel_pair()
        self.channel = ParentChannel(ours, theirs.dup())
        self.ended = trio.Event()

        async def collect() -> bytes:
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.worker = Membership(theirs, 2, collect)

    async def hears(self, *messages: FromWorker) -> None:
        """Wait until the worker has said these, and no others."""
        for message in messages:
            assert (await self.channel.receive())[0] == message

    def passes(self, listener: int) -> socket.socket:
        """Pass on a connection, and return its client's end."""
        ours, theirs = socket.socketpair()
        assert self.channel.send_now(Connection(listener), theirs)
        theirs.close()
        return ours


@asynccontextmanager
async def membership(answer: bytes | Exception = b"") -> AsyncIterator[Parent]:
    parent = Parent(answer)

    async def run() -> None:
        await parent.worker.run()
        parent.ended.set()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield parent
            nursery.cancel_scope.cancel()
    finally:
        parent.channel.close()


async def test_it_says_when_it_is_ready_and_what_it_has_taken_and_finished() -> None:
    async with membership() as parent:
        parent.worker.ready()
        await parent.hears(Ready(), Counts(0, 0))
        with parent.passes(1) as client:
            handed = await anext(aiter(parent.worker.feeds[1]))
            await parent.hears(Counts(1, 0))
            handed.socket.send(b"hi")
            assert client.recv(10) == b"hi"
            handed.socket.close()
            handed.over()
            await parent.hears(Counts(1, 1))


async def test_a_listener_s_end_ends_its_feed_after_the_connections_before_it() -> None:
    async with membership() as parent:
        with parent.passes(0):
            parent.channel.send_now(End(0))
            taken = [handed async for handed in parent.worker.feeds[0]]
            assert len(taken) == 1
            taken[0].socket.close()


async def test_connections_that_nobody_serves_any_more_are_closed_and_counted() -> None:
    async with membership() as parent:
        await parent.worker.feeds[0].aclose()
        with parent.passes(0) as client:
            await parent.hears(Counts(1, 1))
            assert client.recv(10) == b""


async def test_stop_and_retire_differ_in_whether_others_serve() -> None:
    async with membership() as parent:
        parent.channel.send_now(Stop())
        await parent.worker.stop()
        assert not parent.worker.retiring
    async with membership() as parent:
        parent.channel.send_now(Retire())
        await parent.worker.stop()
        assert parent.worker.retiring


async def test_a_parent_that_is_gone_means_to_retire_and_that_nothing_more_comes() -> None:
    async with membership() as parent:
        parent.channel.close()
        await parent.worker.stop()
        assert parent.worker.retiring
        for feed in parent.worker.feeds:
            assert [handed async for handed in feed] == []
        await parent.ended.wait()


async def test_wanting_no_more_is_told_and_so_is_leaving_altogether() -> None:
    async with membership() as parent:
        parent.worker.feeds[1].retire()
        await parent.hears(Counts(0, 0), Leaving(1))
        parent.worker.leave()
        await parent.hears(Counts(0, 0), Leaving(0), Leaving(1))


async def test_a_ping_is_answered_by_the_counts() -> None:
    async with membership() as parent:
        parent.channel.send_now(Ping())
        await parent.hears(Counts(0, 0))


async def test_what_is_asked_for_is_collected_then_and_said_last_as_well() -> None:
    async with membership(b"42") as parent:
        parent.channel.send_now(Ask(7))
        await parent.hears(Counts(0, 0), Part(7, b"42", last=True))
        await parent.worker.say_last()
        await parent.hears(Part(LAST_WORD, b"42", last=True))


async def test_a_collection_that_fails_is_an_empty_answer() -> None:
    async with membership(LookupError("a bug")) as parent:
        parent.channel.send_now(Ask(7))
        await parent.hears(Counts(0, 0), Part(7, b"", last=True))


async def test_last_words_that_nobody_hears_hold_nobody_up(quiet_clock: QuietClock) -> None:
    async with membership(b"x" * 10_000_000) as parent:
        await parent.worker.say_last()
        assert trio.current_time() == pytest.approx(1.0)


async def test_the_channel_is_inherited_by_its_number_once() -> None:
    ours, theirs = channel_pair()
    with ours:
        environ = {CHANNEL: str(theirs.detach())}
        end = Membership.inherited(environ)
        assert end is not None
        with end:
            assert environ == {}
            assert not end.get_inheritable()
            assert not end.getblocking()
    assert Membership.inherited(environ) is None


@pytest.mark.parametrize("text", ["", "x", "-1", "99999", "0x3"])
async def test_a_number_that_is_no_channel_s_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{CHANNEL}: '{text}' is not a channel; only echo itself sets this$"):
        Membership.inherited({CHANNEL: text})


async def test_a_descriptor_that_is_no_socket_is_refused_and_left_alone() -> None:
    reading, writing = os.pipe()
    with pytest.raises(ValueError, match="is not a channel"):
        Membership.inherited({CHANNEL: str(reading)})
    os.close(reading)
    os.close(writing)
