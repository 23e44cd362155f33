"""The channel: messages and sockets arrive whole and in order; none is lost, none is kept open too long."""

import errno
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from echo.workers import channel as under_test
from echo.workers.channel import ParentChannel, WorkerChannel, channel_pair
from echo.workers.messages import (
    PART_SIZE,
    AnswerPart,
    Ask,
    Connection,
    Counts,
    Declined,
    FromParent,
    FromWorker,
    NoMoreConnections,
    Ping,
    Ready,
    Retire,
    Stop,
)

pytestmark = pytest.mark.usefixtures("nothing_left")

FROM_PARENT: list[FromParent] = [NoMoreConnections(1), Stop(), Retire(), Ask(7), Ping()]
FROM_WORKER: list[FromWorker] = [
    Ready(),
    Counts(2**40, 3),
    Declined(1),
    AnswerPart(2**60, b"\0" * PART_SIZE, last=True),
]


@pytest.fixture
async def ends() -> AsyncIterator[tuple[ParentChannel, WorkerChannel]]:
    ours, theirs = channel_pair()
    parent, worker = ParentChannel(ours, theirs.dup()), WorkerChannel(theirs)
    yield parent, worker
    parent.close()
    worker.close()


@contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def test_messages_arrive_unchanged(ends: tuple[ParentChannel, WorkerChannel]) -> None:
    parent, worker = ends
    for told in FROM_PARENT:
        assert parent.send_now(told)
        assert await worker.receive() == (told, None)
    for said in FROM_WORKER:
        await worker.send(said)
        assert await parent.receive() == (said, None)


async def test_a_socket_arrives_with_its_message_and_is_not_inheritable(
    ends: tuple[ParentChannel, WorkerChannel],
) -> None:
    parent, worker = ends
    with connection() as (ours, theirs):
        assert parent.send_now(Connection(1), theirs)
        theirs.close()
        message, beside = await worker.receive()
        assert message == Connection(1)
        assert beside is not None
        with beside:
            assert not beside.get_inheritable()
            beside.send(b"hi")
            assert ours.recv(10) == b"hi"


async def test_a_socket_beside_an_invalid_message_is_closed() -> None:
    ours, theirs = channel_pair()
    worker = WorkerChannel(theirs)
    with connection() as (client, passed):
        socket.send_fds(ours, [b"nonsense"], [passed.fileno()])
        passed.close()
        with pytest.raises(ValueError, match="Expected"):
            await worker.receive()
        assert client.recv(10) == b""
    worker.close()
    ours.close()


async def test_connections_not_received_are_taken_back_and_other_messages_stay(
    ends: tuple[ParentChannel, WorkerChannel],
) -> None:
    parent, worker = ends
    with connection() as (_, first), connection() as (_, second), connection() as (_, third):
        sent: list[tuple[FromParent, socket.socket | None]] = [
            (Connection(0), first),
            (Connection(1), second),
            (Ping(), None),
            (Connection(0), third),
            (Retire(), None),
        ]
        assert all(parent.send_now(message, beside) for message, beside in sent)
        _, taken = await worker.receive()
        assert taken is not None
        taken.close()
        back = parent.take_back()
        assert [listener for listener, _ in back] == [1, 0]
        for _, each in back:
            each.close()
        assert [await worker.receive() for _ in range(2)] == [(Ping(), None), (Retire(), None)]
        assert parent.take_back() == []


async def test_a_full_queue_of_connections_leaves_room_for_messages(ends: tuple[ParentChannel, WorkerChannel]) -> None:
    """`Worker` relies on it."""
    parent, _ = ends
    with connection() as (_, theirs):
        for _ in range(64):
            assert parent.send_now(Connection(0), theirs)
        for told in (Ask(2**60), Ping(), Stop(), Retire(), NoMoreConnections(0), NoMoreConnections(1)):
            assert parent.send_now(told)
        while parent.send_now(Connection(0), theirs):
            pass
        for _, each in parent.take_back():
            each.close()


async def test_a_worker_waits_while_the_channel_is_full_then_sends_the_rest(
    ends: tuple[ParentChannel, WorkerChannel],
) -> None:
    parent, worker = ends
    piece = AnswerPart(1, b"x" * PART_SIZE, last=False)
    sent = 0

    async def send() -> None:
        nonlocal sent
        for _ in range(50):
            await worker.send(piece)
            sent += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert 0 < sent < 50, "the kernel bounds what is not read"
        for _ in range(50):
            assert await parent.receive() == (piece, None)


async def test_a_worker_without_free_descriptors_loses_no_sockets(
    ends: tuple[ParentChannel, WorkerChannel], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, worker = ends
    monkeypatch.setattr(under_test, "RETRY_DELAY", 0.001)
    with connection() as (_, theirs):
        assert parent.send_now(Connection(0), theirs)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.dup(theirs.fileno())
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
        try:
            with trio.move_on_after(0.05) as scope:
                await worker.receive()
            assert scope.cancelled_caught
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        message, beside = await worker.receive()
        assert (message, beside is None) == (Connection(0), False)
        assert beside is not None
        beside.close()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS])
async def test_a_full_channel_is_reported_as_full_not_as_broken(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def send_fds(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "send_fds", send_fds)
    ours, theirs = channel_pair()
    parent = ParentChannel(ours, theirs)
    assert not parent.send_now(Connection(0), theirs)
    parent.close()


async def test_a_closed_channel_is_noticed_after_its_last_message() -> None:
    ours, theirs = channel_pair()
    worker = WorkerChannel(theirs)
    parent = ParentChannel(ours, theirs.dup())
    parent.send_now(Stop())
    parent.close()
    assert await worker.receive() == (Stop(), None)
    with pytest.raises(trio.EndOfChannel):
        await worker.receive()
    with pytest.raises(trio.BrokenResourceError):
        await worker.send(Ready())
    worker.close()
