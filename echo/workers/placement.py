"""Which worker gets a connection: the one with the fewest.

A client's connection lasts for hours, with all its calls on it; so it is the open connections that are spread, not the
new ones. Among equals it is their turn one after another, so that short connections are spread as well.

The kernel would not: of 10 long connections on two processes, the one with more had 6 in the median and 9 at worst with
a socket for each (SO_REUSEPORT), and 7 and all 10 with one socket for both (measured 40 times; here it is 5).
"""

from collections import deque
from collections.abc import Callable, Iterable
from socket import socket

import trio
import trio.lowlevel

from echo.workers.worker import Worker

__all__ = ["Placement"]


class Placement:
    """Gives connections to workers, and holds those that no worker can take just now.

    It holds a few: nothing more is accepted meanwhile (`room`), so they are as many as there are sockets that are
    listened on, besides those taken back from a worker, and the last ones when listening ends.

    Attributes:
        workers: Those that serve.
    """

    def __init__(self, last_words: Callable[[bytes], None] | None = None) -> None:
        """``last_words`` gets what a worker has answered last, when it has ended."""
        self.workers: list[Worker] = []
        self._held: dict[int, deque[socket]] = {}
        self._last_words = last_words
        self._turn = 0
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def held(self) -> int:
        """Connections that wait for a worker."""
        return sum(map(len, self._held.values()))

    def add(self, worker: Worker) -> None:
        """There is another worker."""
        self.workers.append(worker)
        self.move()

    def remove(self, worker: Worker) -> None:
        """A worker has ended."""
        self.workers.remove(worker)
        if self._last_words is not None and worker.answers.latest is not None:
            self._last_words(worker.answers.latest)
        self.move()

    def place(self, listener: int, connection: socket) -> None:
        """Give the connection to a worker, now or as soon as one can take it; closes it here then."""
        self._held.setdefault(listener, deque()).append(connection)
        self.move()

    def place_again(self, connections: Iterable[tuple[int, socket]]) -> None:
        """The same for some that a worker has not taken."""
        for listener, connection in connections:
            self.place(listener, connection)

    def move(self) -> None:
        """Something has changed: give away what can be given."""
        for listener, held in self._held.items():
            while held and self._give(listener, held[0]):
                held.popleft().close()
        self._changed.unpark_all()

    def _give(self, listener: int, connection: socket) -> bool:
        """Give it to a worker; to the next best if the channel to the best has no room. False if nobody takes it."""
        for worker in self._able(listener):
            if worker.pass_on(listener, connection):
                self._turn += 1
                worker.last_turn = self._turn
                return True
        return False

    async def changed(self) -> None:
        """Wait until something has changed."""
        await self._changed.park()

    async def room(self, listener: int) -> None:
        """Wait until a connection of this listener would be given to a worker at once."""
        while self._held.get(listener) or not self._able(listener):
            await self._changed.park()

    async def placed(self, listener: int) -> None:
        """Wait until none of this listener is held."""
        while self._held.get(listener):
            await self._changed.park()

    def close(self, listener: int) -> None:
        """Close those of this listener that are held."""
        for connection in self._held.pop(listener, ()):
            connection.close()

    def _able(self, listener: int) -> list[Worker]:
        """Those that may be given one of this listener, the best first: those that want it, with the fewest."""
        able = [worker for worker in self.workers if worker.takes(listener)]
        return sorted(able, key=lambda worker: (listener in worker.leaving, worker.open, worker.last_turn))
