"""Who gets a connection, with workers that only count."""

import socket
from collections.abc import Iterator
from typing import cast

import pytest
import trio
import trio.testing

from echo.workers.answers import Answers
from echo.workers.placement import Placement
from echo.workers.worker import Worker


class Counting:
    """A worker that takes what it is given, as long as it has room.

    Attributes:
        open: Connections that it has.
        full: It takes none.
    """

    def __init__(self, *, open: int = 0) -> None:  # noqa: A002 - as in Worker
        self.open = open
        self.last_turn = 0
        self.leaving: set[int] = set()
        self.ended: set[int] = set()
        self.full = False
        self.broken = False
        self.answers = Answers()

    def takes(self, listener: int) -> bool:
        return not self.full and listener not in self.ended

    def pass_on(self, listener: int, connection: socket.socket) -> bool:  # noqa: ARG002 - as in Worker
        assert connection.fileno() >= 0
        if self.broken:
            return False
        self.open += 1
        return True


def placement(*workers: Counting) -> Placement:
    placing = Placement()
    for worker in workers:
        placing.add(cast("Worker", worker))
    return placing


@pytest.fixture
def connections() -> Iterator[list[socket.socket]]:
    """So many as a test needs; all of them must have been closed, here, in the end."""
    made = [socket.socket() for _ in range(30)]
    yield made
    for each in made:
        each.close()


def test_the_one_with_the_fewest_gets_it(connections: list[socket.socket]) -> None:
    one, other = Counting(open=10), Counting(open=4)
    placing = placement(one, other)
    for connection in connections[:10]:
        placing.place(0, connection)
    assert (one.open, other.open) == (12, 12)
    assert all(connection.fileno() < 0 for connection in connections[:10]), "closed here once it is passed on"


def test_equals_take_turns(connections: list[socket.socket]) -> None:
    workers = [Counting() for _ in range(3)]
    placing = placement(*workers)
    turns = []
    for connection in connections[:9]:
        placing.place(0, connection)
        (taker,) = (number for number, worker in enumerate(workers) if worker.open)
        workers[taker].open = 0  # It was a short one.
        turns.append(taker)
    assert turns == turns[:3] * 3
    assert sorted(turns[:3]) == [0, 1, 2]


def test_one_that_leaves_gets_it_only_if_nobody_else_can(connections: list[socket.socket]) -> None:
    leaving, other = Counting(), Counting(open=100)
    leaving.leaving.add(0)
    placing = placement(leaving, other)
    placing.place(0, connections[0])
    placing.place(1, connections[1])
    assert (leaving.open, other.open) == (1, 101)
    other.full = True
    placing.place(0, connections[2])
    assert (leaving.open, other.open) == (2, 101)
    leaving.ended.add(0)
    placing.place(0, connections[3])
    assert placing.held == 1
    placing.close(0)


async def test_what_nobody_can_take_is_held_in_order_and_nothing_more_is_let_in(
    connections: list[socket.socket],
) -> None:
    worker = Counting()
    worker.full = True
    placing = placement(worker)
    let_in = trio.Event()

    async def enter() -> None:
        await placing.room(0)
        let_in.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter)
        placing.place(0, connections[0])
        await trio.testing.wait_all_tasks_blocked()
        assert placing.held == 1
        assert not let_in.is_set()
        worker.full = False
        placing.move()
        await let_in.wait()
        assert (placing.held, worker.open) == (0, 1)
        await placing.placed(0)


def test_a_worker_that_comes_gets_what_is_held(connections: list[socket.socket]) -> None:
    placing = placement()
    placing.place(0, connections[0])
    placing.place_again([(1, connections[1])])
    assert placing.held == 2
    newcomer = Counting()
    placing.add(cast("Worker", newcomer))
    assert (placing.held, newcomer.open) == (0, 2)


def test_one_without_room_in_its_channel_leaves_it_to_the_others(connections: list[socket.socket]) -> None:
    broken, other = Counting(), Counting(open=5)
    broken.broken = True
    placing = placement(broken, other)
    placing.place(0, connections[0])
    assert (placing.held, other.open) == (0, 6)


def test_those_that_are_held_when_it_closes_are_closed(connections: list[socket.socket]) -> None:
    placing = placement()
    placing.place(0, connections[0])
    placing.place(1, connections[1])
    placing.close(0)
    assert (connections[0].fileno() < 0, connections[1].fileno() < 0) == (True, False)
    assert placing.held == 1
