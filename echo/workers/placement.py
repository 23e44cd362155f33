"""Which worker gets a connection: the one with the fewest.

A client's connection lasts for hours, with all its calls on it. So the open connections are balanced, not the rate of
new ones. Workers with equally many take turns, so that short connections are spread as well.

The kernel does worse: of 10 long connections on two processes, the busier one had 6 in the median and 9 at worst with
a socket for each (SO_REUSEPORT), and 7 and all 10 with one socket for both (measured 40 times; here it has 5).
"""

from collections import deque
from collections.abc import Callable, Iterable
from socket import socket

import trio
import trio.lowlevel

from echo.workers.worker import Worker

__all__ = ["Placement"]


class Placement:
    """Gives connections to workers, and holds those that no worker can take at the moment.

    It holds few, as nothing is accepted while it does (`wait_for_room`): at most one for each listening socket, those
    taken back from a worker, and the last ones when listening ends.

    Attributes:
        workers: The workers that serve.
    """

    def __init__(self, final_answers: Callable[[bytes], None] | None = None) -> None:
        """``final_answers`` is called with the latest answer of each worker that has ended."""
        self.workers: list[Worker] = []
        self._held: dict[int, deque[socket]] = {}
        self._last_words = final_answers
        self._turns = 0
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def held(self) -> int:
        """How many connections wait for a worker."""
        return sum(map(len, self._held.values()))

    def add(self, worker: Worker) -> None:
        """Add a worker that now serves."""
        self.workers.append(worker)
        self.distribute()

    def remove(self, worker: Worker) -> None:
        """Remove a worker that has ended."""
        self.workers.remove(worker)
        if self._last_words is not None and worker.answers.latest is not None:
            self._last_words(worker.answers.latest)
        self.distribute()

    def place(self, listener: int, connection: socket) -> None:
        """Give the connection to a worker, now or as soon as one can take it, and then close our descriptor."""
        self._held.setdefault(listener, deque()).append(connection)
        self.distribute()

    def reassign(self, connections: Iterable[tuple[int, socket]]) -> None:
        """Place connections, with their listeners, that a worker did not take."""
        for listener, connection in connections:
            self.place(listener, connection)

    def distribute(self) -> None:
        """Give away as many held connections as workers can take, and wake the tasks that wait for a change."""
        for listener, held in self._held.items():
            while held and self._give_to_a_worker(listener, held[0]):
                held.popleft().close()
        self._changed.unpark_all()

    def _give_to_a_worker(self, listener: int, connection: socket) -> bool:
        """Give it to the best worker whose channel has room; False if there is none."""
        for worker in self._candidates(listener):
            if worker.give(listener, connection):
                self._turns += 1
                worker.last_turn = self._turns
                return True
        return False

    async def wait_for_change(self) -> None:
        """Wait until a worker's state has changed, or a connection has come."""
        await self._changed.park()

    async def wait_for_room(self, listener: int) -> None:
        """Wait until a new connection from this listener could be given to a worker at once."""
        while self._held.get(listener) or not self._candidates(listener):
            await self._changed.park()

    async def wait_until_empty(self, listener: int) -> None:
        """Wait until no connection from this listener is held."""
        while self._held.get(listener):
            await self._changed.park()

    def close(self, listener: int) -> None:
        """Close the held connections of this listener."""
        for connection in self._held.pop(listener, ()):
            connection.close()

    def _candidates(self, listener: int) -> list[Worker]:
        """Workers that may be given a connection from this listener, best first: willing, then fewest open."""
        candidates = [worker for worker in self.workers if worker.accepts(listener)]
        return sorted(candidates, key=lambda worker: (listener in worker.declined, worker.open, worker.last_turn))
