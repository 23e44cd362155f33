"""One worker as its parent sees it: a process, the channel to it, and how many connections it has.

It is started by the parent's own command line, as a process of a group of its own, so that a terminal's signals reach
the parent alone. `Worker.run` lasts as long as the process.
"""

import math
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from typing import Final

import structlog
import trio

from echo.workers.answers import Answers
from echo.workers.channel import ParentChannel, channel_pair
from echo.workers.employer import Employer
from echo.workers.membership import CHANNEL
from echo.workers.messages import (
    Connection,
    Counts,
    End,
    FromParent,
    FromWorker,
    Leaving,
    Part,
    Ping,
    Ready,
    Retire,
    Stop,
)

__all__ = ["Worker", "WorkerExitedError"]

log = structlog.get_logger(__name__)

QUEUE: Final = 64  # Connections that a worker may have waiting; others get the next ones.
START: Final = 60.0  # Seconds a worker may take until it serves,
LATE: Final = 2.0  # to take a connection, before it is given to another,
SILENT: Final = 10.0  # to say anything after that, before the log has a warning,
OVERTIME: Final = 5.0  # to end, beyond the grace period, before it is killed,
AT_ONCE: Final = 2.0  # and to end if it shall do so at once.


class WorkerExitedError(Exception):
    """A worker ended before it served anything.

    Attributes:
        status: Its exit status; negative for a signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"a worker ended with status {status} before it served")
        self.status = status


class Worker:
    """One worker.

    Args:
        employer: Who gives it connections.

    Attributes:
        pid: Its process id.
        leaving: The listeners of which it wants no more connections,
        ended: and those of which it gets none.
        last_turn: When it was last given a connection, on a clock of whoever gives them.
        gone: Set when the process has ended.
        going: Set when it shall be replaced: it is gone, or leaves unasked.
        answers: What it has answered.
    """

    def __init__(self, employer: Employer) -> None:
        self.pid = 0
        self.leaving: set[int] = set()
        self.ended: set[int] = set()
        self.last_turn = 0
        self.gone = trio.Event()
        self.going = trio.Event()
        self.answers = Answers()
        self._employer = employer
        self._serving = False
        self._asked_to_go = False
        self._passed = self._taken = self._over = 0
        self._late = False
        self._ready = trio.Event()
        self._heard = trio.Event()
        self._life = trio.CancelScope()

    @property
    def open(self) -> int:
        """Connections it has, or will have when it takes what waits for it."""
        return self._passed - self._over

    @property
    def waiting(self) -> int:
        """Connections that it has not taken yet, as far as is known."""
        return self._passed - self._taken

    def takes(self, listener: int) -> bool:
        """Whether it may be given a connection of this listener just now."""
        return not (self._late or self.gone.is_set() or listener in self.ended or self.waiting >= QUEUE)

    def pass_on(self, listener: int, connection: socket.socket) -> bool:
        """Give it a connection, of which the caller keeps its own descriptor; False if there is no room."""
        if not self._channel.send_now(Connection(listener), connection):
            return False
        self._passed += 1
        self._heard.set()
        return True

    def take_back(self) -> list[tuple[int, socket.socket]]:
        """The connections that it has not taken."""
        found = self._channel.take_back()
        self._passed -= len(found)
        return found

    # From start to end

    async def run(
        self,
        command: Sequence[str],
        *,
        task_status: trio.TaskStatus["Worker"] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Start the process; ready once it serves; returns when it has ended. Cancelling it ends it at once.

        Args:
            command: The command line.
            task_status: Gets the worker.

        Raises:
            WorkerExitedError: It ended before it was ready.
            OSError: It cannot be started.
        """
        ours, theirs = channel_pair()
        self._channel = ParentChannel(ours, theirs)
        try:
            process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, CHANNEL: str(theirs.fileno())},
                process_group=0,
            )
            self.pid = process.pid
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._listen)
                    nursery.start_soon(self._serve, task_status)
                    with self._life:
                        await process.wait()
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await self._finish(process)
                self._hear_last_words()
                self.answers.end()
                self.gone.set()
                self.going.set()
                if self._serving:
                    self._employer.remove(self)
                    self._employer.place_again(self.take_back())
        finally:
            self._channel.close()
        if not self._serving:
            raise WorkerExitedError(process.returncode or 0)
        if not self._asked_to_go or process.returncode:
            log.warning("worker ended", worker=self.pid, status=process.returncode)

    async def _finish(self, process: trio.Process) -> None:
        """End the process if it has not ended: by both signals, which means at once, then by force."""
        if process.poll() is None and not self._life.cancelled_caught:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            with trio.move_on_after(AT_ONCE):
                await process.wait()
        if process.poll() is None:
            log.warning("worker did not end in time: killed", worker=self.pid)
            process.kill()
        await process.wait()

    async def _serve(self, task_status: trio.TaskStatus["Worker"]) -> None:
        with trio.move_on_after(START):
            await self._ready.wait()
        if not self._ready.is_set():
            log.error("worker did not start in time", worker=self.pid, seconds=START)
            self._life.cancel()
            return
        log.info("worker serves", worker=self.pid)
        self._serving = True
        self._employer.add(self)  # In one step with the next: whoever gets connections is not cancelled by a stop.
        task_status.started(self)
        while True:
            await self._news()
            while self.waiting:
                taken = self._taken
                # In two halves: if it was this process that stood still, the worker's word is read in the second.
                if not await self._takes_some(taken, LATE / 2) and not await self._takes_some(taken, LATE / 2):
                    await self._note_late()

    async def _takes_some(self, taken: int, patience: float) -> bool:
        """Whether it takes a connection in time, having taken so many, or has none waiting."""
        with trio.move_on_after(patience):
            while self.waiting and self._taken == taken:
                await self._news()
        return not (self.waiting and self._taken == taken)

    async def _news(self) -> None:
        """Wait until it has said something, or has been given something."""
        await self._heard.wait()
        self._heard = trio.Event()

    async def _note_late(self) -> None:
        """Give its connections to others, and wait until it says something."""
        self._late = True
        connections = self.take_back()
        log.info("worker is late: others get its connections", worker=self.pid, connections=len(connections))
        self._tell(Ping())
        self._employer.place_again(connections)
        for patience in (SILENT, math.inf):
            with trio.move_on_after(patience):
                while self._late:
                    await self._news()
                return
            log.warning("worker does not answer", worker=self.pid)

    async def _listen(self) -> None:
        """Take in what the worker says."""
        try:
            while True:
                self._take_in((await self._channel.receive())[0])
                self._late = False
                self._heard.set()
                self._employer.move()
        except (ValueError, trio.EndOfChannel) as error:
            log.error("worker says what no worker says: killed", worker=self.pid, reason=str(error))
            self._life.cancel()

    def _hear_last_words(self) -> None:
        """Take in what it had said when it ended."""
        try:
            while (received := self._channel.receive_now()) is not None:
                self._take_in(received[0])
        except (ValueError, trio.EndOfChannel):
            pass

    def _take_in(self, message: FromWorker) -> None:
        match message:
            case Ready():
                self._ready.set()
            case Counts(taken, ended):
                self._taken, self._over = taken, ended
            case Leaving(listener):
                self.leaving.add(listener)
                if not self._asked_to_go:
                    self.going.set()
            case Part():
                self.answers.note(message)

    # What it is told

    def stop(self, grace: float) -> None:
        """Have it drain, as all do; it still gets connections until `end`. After ``grace`` and a while it is killed."""
        self._asked_to_go = True
        self._end_within(grace)
        self._tell(Stop())

    def retire(self, grace: float, listeners: int) -> None:
        """Have it drain while others go on; it gets no more connections."""
        self._asked_to_go = True
        self._end_within(grace)
        self._tell(Retire())
        for listener in range(listeners):
            self.end(listener)

    def end(self, listener: int) -> None:
        """Tell it that no more connections of this listener follow."""
        if listener not in self.ended:
            self.ended.add(listener)
            self._tell(End(listener))

    def _end_within(self, grace: float) -> None:
        self._life.deadline = min(self._life.deadline, trio.current_time() + grace + OVERTIME)

    def _tell(self, message: FromParent) -> None:
        """Tell it something. There is room beside all the connections that may wait; if not, something is broken."""
        if not self.gone.is_set() and not self._channel.send_now(message):
            log.error("no room for a message to a worker: killed", worker=self.pid)
            self._life.cancel()

    async def ask(self) -> None:
        """Have it answer, see `Answers.ask`; `answers` has what came."""
        await self.answers.ask(self._tell)
