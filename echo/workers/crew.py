"""The parent: it listens, keeps workers running, and gives each connection to the one with the fewest.

    listeners --accept--> Placement --channel, a socket beside each message--> Worker ... Worker

It reads nothing of a connection, and speaks no TLS. A worker that dies is replaced, and takes only its own connections
with it: what it had not taken yet goes to another. SIGHUP replaces the workers one after another: the successor serves
before its predecessor is told to drain. SIGTERM drains them all (`Crew.run` says how).

One task keeps each worker's place (`_Post`); the workers themselves, one task a process, outlive it in a drain.
"""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import structlog
import trio
from anyio.abc import SocketAttribute, SocketStream

from echo.transport import StreamListener
from echo.workers.placement import Placement
from echo.workers.worker import Worker, WorkerExitedError

__all__ = ["Crew", "NoWorkersError"]

log = structlog.get_logger(__name__)

STEADY: Final = 10.0  # Seconds after which a worker's end is no failure to start.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
MOST_FAILURES: Final = 5  # In a row, while no worker serves; then the parent gives up.


class NoWorkersError(Exception):
    """No worker serves, and none can be started."""

    def __init__(self) -> None:
        super().__init__("no worker serves, and none can be started")


def pause_after(failures: int) -> float:
    """Seconds to wait before a worker is started again, after so many failures in a row."""
    return min(FIRST_PAUSE * 2.0 ** (failures - 2), LONGEST_PAUSE) if failures > 1 else 0.0


class _Post:
    """A worker's place: who holds it, and who follows."""

    def __init__(self, worker: Worker, hire: Callable[[], Awaitable[Worker]]) -> None:
        self.worker = worker
        self._hire = hire
        self._changing = trio.Lock()
        self._began = trio.current_time()
        self._failures = 0
        self._watching = trio.CancelScope()

    async def keep(self, retire: Callable[[Worker], None], alone: Callable[[], bool]) -> None:
        """Replace whoever goes, for ever.

        Args:
            retire: Called with a worker that is going but not gone.
            alone: Whether no worker serves.

        Raises:
            NoWorkersError: None can be started, here or elsewhere.
        """
        while True:
            worker = self.worker
            with self._watching:
                await worker.going.wait()
            self._watching = trio.CancelScope()
            async with self._changing:
                if worker is self.worker and worker.going.is_set():
                    if not worker.gone.is_set():
                        retire(worker)
                    steady = trio.current_time() - self._began >= STEADY
                    self._failures = 1 if steady else self._failures + 1
                    await self._replace(alone)

    async def _replace(self, alone: Callable[[], bool]) -> None:
        while True:
            if self._failures >= MOST_FAILURES and alone():
                raise NoWorkersError
            pause = pause_after(self._failures)
            if pause:
                log.info("starting a worker again", seconds=pause)
            await trio.sleep(pause)
            try:
                self._take(await self._hire())
            except (WorkerExitedError, OSError) as error:
                log.error("worker could not be started", reason=str(error))
                self._failures += 1
            else:
                return

    async def renew(self) -> Worker:
        """Replace whoever is there, in good order; gives the predecessor, for the caller to retire.

        Raises:
            WorkerExitedError, OSError: The successor does not start; everything is as it was.
        """
        async with self._changing:
            predecessor = self.worker
            self._take(await self._hire())
            self._watching.cancel()
            return predecessor

    def _take(self, worker: Worker) -> None:
        self.worker = worker
        self._began = trio.current_time()


class Crew:
    """The parent of some workers.

    Args:
        command: How to start one; `echo.workers.Membership` is what runs there.
        listeners: What to accept connections on. TLS is the workers'.
        number: How many workers.
        grace: Seconds that a worker has to drain.
        last_words: Gets what a worker collected last, when it has ended.
    """

    def __init__(
        self,
        command: Sequence[str],
        listeners: Sequence[StreamListener],
        number: int,
        grace: float,
        last_words: Callable[[bytes], None] | None = None,
    ) -> None:
        self._command = command
        self._listeners = listeners
        self._number = number
        self._grace = grace
        self._placement = Placement(last_words)

    @property
    def workers(self) -> Sequence[Worker]:
        """Those that serve, or drain."""
        return self._placement.workers

    async def ask_all(self, patience: float) -> list[bytes]:
        """What each worker collects. For those that do not answer within ``patience`` seconds, what they did last time.

        What workers that have ended said last is not in it: see ``last_words``.
        """
        with trio.move_on_after(patience):
            async with trio.open_nursery() as nursery:
                for worker in self.workers:
                    nursery.start_soon(worker.ask)
        # Of those that are there now, lest one that has ended meanwhile is counted twice.
        return [answer for worker in self.workers if (answer := worker.answers.latest) is not None]

    async def run(
        self,
        stop: Callable[[], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run the workers until ``stop()`` returns and all have drained. Ready when all of them serve.

        The drain: all are told to. Connections are accepted until no worker wants any more, or for the grace period;
        then the listeners are closed, after the last connections that the kernel holds have been given to the workers.

        Cancelling it ends them all at once.

        Raises:
            WorkerExitedError: The first one did not start; it has said why.
            OSError: It cannot be started.
            NoWorkersError: None is left, and none can be started.
        """
        with trio.open_signal_receiver(signal.SIGHUP) as hangups:
            async with trio.open_nursery() as nursery:
                hire = partial(self._hire, nursery)
                # One by itself: if it cannot start, neither can the others, and the reason is told once.
                posts = [_Post(await hire(), hire)]
                await self._fill(posts, hire)
                doors = [_Door(number, listener, self._placement) for number, listener in enumerate(self._listeners)]
                for door in doors:
                    nursery.start_soon(door.run)
                task_status.started()
                async with trio.open_nursery() as keeping:
                    for post in posts:
                        keeping.start_soon(post.keep, self._retire, self._alone)
                    keeping.start_soon(self._roll_on, hangups, posts)
                    await stop()
                    keeping.cancel_scope.cancel()
                for worker in self.workers:
                    worker.stop(self._grace)
                for door in doors:
                    nursery.start_soon(door.close, self._grace)

    async def _fill(self, posts: list[_Post], hire: Callable[[], Awaitable[Worker]]) -> None:
        async def fill() -> None:
            posts.append(_Post(await hire(), hire))

        async with trio.open_nursery() as nursery:
            for _ in range(self._number - 1):
                nursery.start_soon(fill)

    async def _hire(self, nursery: trio.Nursery) -> Worker:
        """Start a worker, which runs in the nursery until it ends."""
        worker: Worker = await nursery.start(Worker(self._placement).run, self._command)
        return worker

    def _alone(self) -> bool:
        return not self.workers

    def _retire(self, worker: Worker) -> None:
        worker.retire(self._grace, len(self._listeners))

    async def _roll_on(self, hangups: AsyncIterator[int], posts: Sequence[_Post]) -> None:
        """Replace all workers whenever a SIGHUP comes; those that come meanwhile mean once more."""
        async for _ in hangups:
            log.info("replacing the workers", workers=len(posts))
            for post in posts:
                try:
                    predecessor = await post.renew()
                except (WorkerExitedError, OSError) as error:
                    log.error("the workers stay as they are: a new one could not be started", reason=str(error))
                    break
                if not predecessor.gone.is_set():
                    self._retire(predecessor)
                    await predecessor.gone.wait()
            else:
                log.info("all workers are replaced", workers=len(posts))


class _Door:
    """One listener: what is accepted there, and when it closes."""

    def __init__(self, number: int, listener: StreamListener, placement: Placement) -> None:
        self._number = number
        self._listener = listener
        self._placement = placement
        self._closed = trio.Event()

    async def run(self) -> None:
        """Accept connections until it closes; closes the listener."""
        async with self._listener:
            await self._listener.accept(self._take_in, partial(self._placement.room, self._number))
        self._closed.set()

    def _take_in(self, stream: SocketStream) -> None:
        accepted = stream.extra(SocketAttribute.raw_socket)
        self._placement.place(self._number, accepted)

    async def close(self, grace: float) -> None:
        """Let in the last ones, and tell the workers that no more come."""
        number, placement = self._number, self._placement
        with trio.move_on_after(grace):
            while not all(number in worker.leaving for worker in placement.workers):
                await placement.changed()
            self._listener.retire()
            await self._closed.wait()
            await placement.placed(number)
        self._listener.retire()
        await self._closed.wait()
        placement.close(number)
        for worker in placement.workers:
            worker.end(number)
