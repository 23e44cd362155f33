"""The parent: it listens, keeps workers running, and gives each connection to the worker with the fewest.

    listeners --accept--> Placement --messages with sockets--> Worker ... Worker

It never reads from a connection, and speaks no TLS. A worker that dies is replaced. Only the connections it had taken
are lost; those still waiting go to other workers. SIGHUP replaces the workers one after another: the successor serves
before its predecessor is told to drain. SIGTERM drains them all (see `Supervisor.run`).

One task per slot (`_Slot`) replaces its worker when needed. Another task runs each worker's process, also while it
drains.
"""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import structlog
import trio

from echo.terminal import Terminal
from echo.transport import StreamListener
from echo.workers.placement import Placement
from echo.workers.worker import Worker, WorkerExitedError

__all__ = ["NoWorkersError", "Supervisor"]

log = structlog.get_logger(__name__)

STABLE_AFTER: Final = 10.0  # Seconds of serving after which a worker's end does not count as a failed start.
MIN_DELAY: Final = 0.5
MAX_DELAY: Final = 30.0
MAX_FAILURES: Final = 5  # After so many in a row, the parent gives up if no worker serves.


class NoWorkersError(Exception):
    """No worker serves, and none can be started."""

    def __init__(self) -> None:
        super().__init__("no worker serves, and none can be started")


def restart_delay(failures: int) -> float:
    """Seconds to wait before the next start, after this many failures in a row."""
    return min(MIN_DELAY * 2.0 ** (failures - 2), MAX_DELAY) if failures > 1 else 0.0


class _Slot:
    """Keeps one worker running: starts a successor whenever the current one leaves."""

    def __init__(self, worker: Worker, start_worker: Callable[[], Awaitable[Worker]]) -> None:
        self.worker = worker
        self._start_worker = start_worker
        self._replacing = trio.Lock()
        self._started_at = trio.current_time()
        self._failures = 0
        self._watching = trio.CancelScope()

    async def keep_filled(self, retire: Callable[[Worker], None], none_serves: Callable[[], bool]) -> None:
        """Replace each worker that needs it; runs until cancelled.

        Args:
            retire: Called with a worker that wants to leave but still runs.
            none_serves: Whether no worker serves at all.

        Raises:
            NoWorkersError: No worker serves, and too many starts have failed.
        """
        while True:
            worker = self.worker
            with self._watching:
                await worker.needs_replacement.wait()
            self._watching = trio.CancelScope()
            async with self._replacing:
                if worker is self.worker and worker.needs_replacement.is_set():
                    if not worker.exited.is_set():
                        retire(worker)
                    stable = trio.current_time() - self._started_at >= STABLE_AFTER
                    self._failures = 1 if stable else self._failures + 1
                    await self._replace(none_serves)

    async def _replace(self, none_serves: Callable[[], bool]) -> None:
        while True:
            if self._failures >= MAX_FAILURES and none_serves():
                raise NoWorkersError
            pause = restart_delay(self._failures)
            if pause:
                log.info("starting a worker again", seconds=pause)
            await trio.sleep(pause)
            try:
                self._assign(await self._start_worker())
            except (WorkerExitedError, OSError) as error:
                log.error("worker could not be started", reason=str(error))
                self._failures += 1
            else:
                return

    async def replace_now(self) -> Worker:
        """Start a successor; returns the predecessor, which the caller retires.

        Raises:
            WorkerExitedError, OSError: The successor did not start; the predecessor stays.
        """
        async with self._replacing:
            predecessor = self.worker
            self._assign(await self._start_worker())
            self._watching.cancel()
            return predecessor

    def _assign(self, worker: Worker) -> None:
        self.worker = worker
        self._started_at = trio.current_time()


class Supervisor:
    """The parent of some workers.

    Args:
        command: The command that starts a worker, which then uses `ParentLink`.
        listeners: Where to accept connections, without TLS: the workers do that.
        number: How many workers.
        grace: Seconds that a worker has to drain.
        final_answers: Called with the latest answer of each worker that has ended.
        terminal: When this has closed, SIGHUP does not replace the workers, but has the effect of SIGTERM.
    """

    def __init__(
        self,
        command: Sequence[str],
        listeners: Sequence[StreamListener],
        number: int,
        grace: float,
        final_answers: Callable[[bytes], None] | None = None,
        terminal: Terminal | None = None,
    ) -> None:
        self._command = command
        self._listeners = listeners
        self._number = number
        self._grace = grace
        self._placement = Placement(final_answers)
        self._terminal = terminal

    @property
    def workers(self) -> Sequence[Worker]:
        """The workers that serve or drain."""
        return self._placement.workers

    async def ask_all(self, patience: float) -> list[bytes]:
        """Ask each worker. One that does not answer within ``patience`` seconds contributes its previous answer.

        Final answers of workers that have ended are not included: see ``final_answers``.
        """
        with trio.move_on_after(patience):
            async with trio.open_nursery() as nursery:
                for worker in self.workers:
                    nursery.start_soon(worker.ask)
        # Only workers that still run: the answer of one that has just ended is in the final answers already.
        return [answer for worker in self.workers if (answer := worker.answers.latest) is not None]

    async def run(
        self,
        stop: Callable[[], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run the workers until ``stop()`` returns and all have drained. Started once all of them serve.

        To drain, all workers are told to stop. Connections are accepted until no worker wants more, or for the grace
        period. Then the connections still in the kernel's queue go to the workers, and the listeners are closed.

        Cancelling it ends all workers at once.

        Raises:
            WorkerExitedError: The first worker exited before it served; it has reported why.
            OSError: The first worker's process cannot be started.
            NoWorkersError: No worker is left, and none can be started.
        """
        with trio.open_signal_receiver(signal.SIGHUP) as hangups:
            async with trio.open_nursery() as nursery:
                start_worker = partial(self._start_worker, nursery)
                # The first starts alone: if it fails so would the others, and the reason is reported once.
                slots = [_Slot(await start_worker(), start_worker)]
                await self._fill_slots(slots, start_worker)
                acceptors = [
                    _Acceptor(number, listener, self._placement) for number, listener in enumerate(self._listeners)
                ]
                for acceptor in acceptors:
                    nursery.start_soon(acceptor.run)
                task_status.started()
                async with trio.open_nursery() as replacements:
                    for slot in slots:
                        replacements.start_soon(slot.keep_filled, self._retire, self._none_serves)
                    replacements.start_soon(self._replace_on_hangup, hangups, slots)
                    await stop()
                    replacements.cancel_scope.cancel()
                for worker in self.workers:
                    worker.stop(self._grace)
                for acceptor in acceptors:
                    nursery.start_soon(acceptor.drain, self._grace)

    async def _fill_slots(self, slots: list[_Slot], start_worker: Callable[[], Awaitable[Worker]]) -> None:
        async def fill() -> None:
            slots.append(_Slot(await start_worker(), start_worker))

        async with trio.open_nursery() as nursery:
            for _ in range(self._number - 1):
                nursery.start_soon(fill)

    async def _start_worker(self, nursery: trio.Nursery) -> Worker:
        """Start a worker, which runs in the nursery until it ends; returns when it serves."""
        worker: Worker = await nursery.start(Worker(self._placement).run, self._command)
        return worker

    def _none_serves(self) -> bool:
        return not self.workers

    def _retire(self, worker: Worker) -> None:
        worker.retire(self._grace, len(self._listeners))

    async def _replace_on_hangup(self, hangups: AsyncIterator[int], slots: Sequence[_Slot]) -> None:
        """Replace all workers on each SIGHUP. Several that arrive during a replacement cause one more."""
        async for _ in hangups:
            if self._terminal is not None and self._terminal.has_closed():
                signal.raise_signal(signal.SIGTERM)
                return
            log.info("replacing the workers", workers=len(slots))
            for slot in slots:
                try:
                    predecessor = await slot.replace_now()
                except (WorkerExitedError, OSError) as error:
                    log.error("the workers stay as they are: a new one could not be started", reason=str(error))
                    break
                if not predecessor.exited.is_set():
                    self._retire(predecessor)
                    await predecessor.exited.wait()
            else:
                log.info("all workers are replaced", workers=len(slots))


class _Acceptor:
    """Accepts the connections of one listener, and closes it."""

    def __init__(self, number: int, listener: StreamListener, placement: Placement) -> None:
        self._number = number
        self._listener = listener
        self._placement = placement
        self._closed = trio.Event()

    async def run(self) -> None:
        """Accept connections until the listener is retired, then close it."""
        async with self._listener:
            place, wait_for_room = self._placement.place, self._placement.wait_for_room
            await self._listener.accept(partial(place, self._number), partial(wait_for_room, self._number))
        self._closed.set()

    async def drain(self, grace: float) -> None:
        """Accept the last connections, then tell the workers that no more will follow."""
        number, placement = self._number, self._placement
        with trio.move_on_after(grace):
            while not all(number in worker.declined for worker in placement.workers):
                await placement.wait_for_change()
            self._listener.retire()
            await self._closed.wait()
            await placement.wait_until_empty(number)
        self._listener.retire()
        await self._closed.wait()
        placement.close(number)
        for worker in placement.workers:
            worker.close(number)
