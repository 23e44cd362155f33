"""A worker's side of the channel, against a parent that the test plays."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from echo.workers import CHANNEL, ParentLink
from echo.workers.channel import ParentChannel, channel_pair
from echo.workers.messages import (
    FINAL_ANSWER,
    AnswerPart,
    Ask,
    Connection,
    Counts,
    Declined,
    FromWorker,
    NoMoreConnections,
    Ping,
    Ready,
    Retire,
    Stop,
)
from tests.support.quiet_clock import QuietClock

pytestmark = pytest.mark.usefixtures("nothing_left")


class Parent:
    """The parent's end, and the worker's link.

    Attributes:
        worker: The link under test.
        ended: Set when its `run` has returned.
    """

    def __init__(self, answer: bytes | Exception = b"") -> None:
        ours, theirs = channel_pair()
        self.channel = ParentChannel(ours, theirs.dup())
        self.ended = trio.Event()

        async def collect() -> bytes:
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.worker = ParentLink(theirs, 2, collect)

    async def receives(self, *messages: FromWorker) -> None:
        """Wait for exactly these messages from the worker."""
        for message in messages:
            assert (await self.channel.receive())[0] == message

    def passes(self, listener: int) -> socket.socket:
        """Send the worker a connection, and return the client's end."""
        ours, theirs = socket.socketpair()
        assert self.channel.send_now(Connection(listener), theirs)
        theirs.close()
        return ours


@asynccontextmanager
async def parent_link(answer: bytes | Exception = b"") -> AsyncIterator[Parent]:
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


async def test_a_worker_reports_when_it_is_ready_and_how_many_connections_it_has_taken_and_closed() -> None:
    async with parent_link() as parent:
        parent.worker.ready()
        await parent.receives(Ready(), Counts(0, 0))
        with parent.passes(1) as client:
            accepted = await anext(aiter(parent.worker.feeds[1]))
            await parent.receives(Counts(1, 0))
            accepted.socket.send(b"hi")
            assert client.recv(10) == b"hi"
            accepted.socket.close()
            accepted.on_close()
            await parent.receives(Counts(1, 1))


async def test_a_feed_ends_after_its_listener_s_last_connection() -> None:
    async with parent_link() as parent:
        with parent.passes(0):
            parent.channel.send_now(NoMoreConnections(0))
            taken = [accepted async for accepted in parent.worker.feeds[0]]
            assert len(taken) == 1
            taken[0].socket.close()


async def test_connections_that_arrive_after_serving_stopped_are_closed_and_counted() -> None:
    async with parent_link() as parent:
        await parent.worker.feeds[0].aclose()
        with parent.passes(0) as client:
            await parent.receives(Counts(1, 1))
            assert client.recv(10) == b""


async def test_stop_and_retire_differ_in_whether_others_serve() -> None:
    async with parent_link() as parent:
        parent.channel.send_now(Stop())
        await parent.worker.wait_for_stop()
        assert not parent.worker.others_serve
    async with parent_link() as parent:
        parent.channel.send_now(Retire())
        await parent.worker.wait_for_stop()
        assert parent.worker.others_serve


async def test_without_its_parent_a_worker_retires_and_gets_no_more_connections() -> None:
    async with parent_link() as parent:
        parent.channel.close()
        await parent.worker.wait_for_stop()
        assert parent.worker.others_serve
        for feed in parent.worker.feeds:
            assert [accepted async for accepted in feed] == []
        await parent.ended.wait()


async def test_a_worker_tells_its_parent_which_listeners_it_declines() -> None:
    async with parent_link() as parent:
        parent.worker.feeds[1].retire()
        await parent.receives(Counts(0, 0), Declined(1))
        parent.worker.request_stop()
        await parent.receives(Counts(0, 0), Declined(0), Declined(1))


async def test_a_ping_is_answered_with_the_counts() -> None:
    async with parent_link() as parent:
        parent.channel.send_now(Ping())
        await parent.receives(Counts(0, 0))


async def test_an_answer_is_made_when_it_is_asked_for_and_again_at_the_end() -> None:
    async with parent_link(b"42") as parent:
        parent.channel.send_now(Ask(7))
        await parent.receives(Counts(0, 0), AnswerPart(7, b"42", last=True))
        await parent.worker.send_final_answer()
        await parent.receives(AnswerPart(FINAL_ANSWER, b"42", last=True))


async def test_a_failed_collection_gives_an_empty_answer() -> None:
    async with parent_link(LookupError("a bug")) as parent:
        parent.channel.send_now(Ask(7))
        await parent.receives(Counts(0, 0), AnswerPart(7, b"", last=True))


async def test_a_final_answer_that_nobody_reads_does_not_delay_the_worker_s_end(quiet_clock: QuietClock) -> None:
    async with parent_link(b"x" * 10_000_000) as parent:
        await parent.worker.send_final_answer()
        assert trio.current_time() == pytest.approx(1.0)


async def test_the_inherited_channel_can_be_opened_once() -> None:
    ours, theirs = channel_pair()
    with ours:
        environ = {CHANNEL: str(theirs.detach())}
        end = ParentLink.inherited(environ)
        assert end is not None
        with end:
            assert environ == {}
            assert not end.get_inheritable()
            assert not end.getblocking()
    assert ParentLink.inherited(environ) is None


@pytest.mark.parametrize("text", ["", "x", "-1", "99999", "0x3"])
async def test_an_invalid_channel_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{CHANNEL}: '{text}' is not a channel; only echo itself sets this$"):
        ParentLink.inherited({CHANNEL: text})


async def test_a_descriptor_that_is_not_a_socket_is_refused_and_stays_open() -> None:
    reading, writing = os.pipe()
    with pytest.raises(ValueError, match="is not a channel"):
        ParentLink.inherited({CHANNEL: str(reading)})
    os.close(reading)
    os.close(writing)
