"""Which worker gets a connection, with workers that only count."""

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
    """A worker that accepts all connections.

    Attributes:
        open: How many connections it has.
        full: Set it to accept none.
        broken: Set it to have no room in its channel.
        given: The connections it was given, in order.
    """

    def __init__(self, *, open: int = 0) -> None:  # noqa: A002 - as in Worker
        self.open = open
        self.last_turn = 0
        self.declined: set[int] = set()
        self.closed: set[int] = set()
        self.full = False
        self.broken = False
        self.answers = Answers()
        self.given: list[socket.socket] = []

    def accepts(self, listener: int) -> bool:
        return not self.full and listener not in self.closed

    def give(self, listener: int, connection: socket.socket) -> bool:  # noqa: ARG002 - as in Worker
        assert connection.fileno() >= 0
        if self.broken:
            return False
        self.open += 1
        self.given.append(connection)
        return True


def placement(*workers: Counting) -> Placement:
    placing = Placement()
    for worker in workers:
        placing.add(cast("Worker", worker))
    return placing


@pytest.fixture
def connections() -> Iterator[list[socket.socket]]:
    """More connections than any test needs."""
    made = [socket.socket() for _ in range(30)]
    yield made
    for each in made:
        each.close()


def test_the_worker_with_the_fewest_connections_gets_the_next(connections: list[socket.socket]) -> None:
    one, other = Counting(open=10), Counting(open=4)
    placing = placement(one, other)
    for connection in connections[:10]:
        placing.place(0, connection)
    assert (one.open, other.open) == (12, 12)
    assert all(connection.fileno() < 0 for connection in connections[:10]), "closed here once it is passed on"


def test_workers_with_equally_many_connections_take_turns(connections: list[socket.socket]) -> None:
    workers = [Counting() for _ in range(3)]
    placing = placement(*workers)
    turns = []
    for connection in connections[:9]:
        placing.place(0, connection)
        (taker,) = (number for number, worker in enumerate(workers) if worker.open)
        workers[taker].open = 0  # The connection was short.
        turns.append(taker)
    assert turns == turns[:3] * 3
    assert sorted(turns[:3]) == [0, 1, 2]


def test_a_worker_that_is_leaving_gets_a_connection_only_if_no_other_can_take_it(
    connections: list[socket.socket],
) -> None:
    leaving, other = Counting(), Counting(open=100)
    leaving.declined.add(0)
    placing = placement(leaving, other)
    placing.place(0, connections[0])
    placing.place(1, connections[1])
    assert (leaving.open, other.open) == (1, 101)
    other.full = True
    placing.place(0, connections[2])
    assert (leaving.open, other.open) == (2, 101)
    leaving.closed.add(0)
    placing.place(0, connections[3])
    assert placing.held == 1
    placing.close(0)


async def test_while_no_worker_can_take_a_connection_it_is_held_and_no_more_are_accepted(
    connections: list[socket.socket],
) -> None:
    worker = Counting()
    worker.full = True
    placing = placement(worker)
    let_in = trio.Event()

    async def enter() -> None:
        await placing.wait_for_room(0)
        let_in.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter)
        placing.place(0, connections[0])
        await trio.testing.wait_all_tasks_blocked()
        assert placing.held == 1
        assert not let_in.is_set()
        worker.full = False
        placing.distribute()
        await let_in.wait()
        assert (placing.held, worker.open) == (0, 1)
        await placing.wait_until_empty(0)


def test_a_new_worker_gets_the_held_connections(connections: list[socket.socket]) -> None:
    placing = placement()
    placing.place(0, connections[0])
    placing.reassign([(1, connections[1])])
    assert placing.held == 2
    newcomer = Counting()
    placing.add(cast("Worker", newcomer))
    assert (placing.held, newcomer.open) == (0, 2)


def test_held_connections_are_given_away_in_the_order_in_which_they_came(connections: list[socket.socket]) -> None:
    placing = placement()
    for connection in connections[:3]:
        placing.place(0, connection)
    newcomer = Counting()
    placing.add(cast("Worker", newcomer))
    assert newcomer.given == connections[:3]


def test_if_a_worker_s_channel_is_full_the_next_best_gets_the_connection(connections: list[socket.socket]) -> None:
    broken, other = Counting(), Counting(open=5)
    broken.broken = True
    placing = placement(broken, other)
    placing.place(0, connections[0])
    assert (placing.held, other.open) == (0, 6)


async def test_who_waits_for_a_change_learns_that_a_worker_has_ended() -> None:
    ending = Counting()
    placing = placement(ending)
    learnt = trio.Event()

    async def wait() -> None:
        await placing.wait_for_change()
        learnt.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        placing.remove(cast("Worker", ending))
        await trio.testing.wait_all_tasks_blocked()
        assert learnt.is_set()


def test_who_wants_no_final_answers_need_not_take_them() -> None:
    leaving = Counting()
    leaving.answers.latest = b"42"
    placing = placement(leaving)
    placing.remove(cast("Worker", leaving))
    assert placing.workers == []


def test_connections_still_held_when_their_listener_closes_are_closed(connections: list[socket.socket]) -> None:
    placing = placement()
    placing.place(0, connections[0])
    placing.place(1, connections[1])
    placing.close(0)
    assert (connections[0].fileno() < 0, connections[1].fileno() < 0) == (True, False)
    assert placing.held == 1
