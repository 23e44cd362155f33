"""One worker as its parent sees it: a process, the channel to it, and how many connections it has.

The process runs the parent's own command line, in a process group of its own, so that a terminal's signals only reach
the parent. `Worker.run` lasts as long as the process.
"""

import math
import signal
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import structlog
import trio

from echo.workers.answers import Answers
from echo.workers.channel import ParentChannel, channel_pair
from echo.workers.messages import (
    AnswerPart,
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
from echo.workers.starting import start_process

if TYPE_CHECKING:
    from echo.workers.placement import Placement

__all__ = ["Worker", "WorkerExitedError"]

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 64  # Connections that may wait for one worker.
# Seconds:
START_TIMEOUT: Final = 60.0  # From starting the process until the worker serves.
TAKE_TIMEOUT: Final = 2.0  # To take a connection; then its waiting connections go to other workers.
SILENCE_TIMEOUT: Final = 10.0  # Without any message after that; then the log gets a warning.
KILL_DELAY: Final = 5.0  # From the end of the grace period until the process is killed.
KILL_DELAY_REPLACED: Final = 30.0  # The same while others serve: to close thousands of WebSockets takes seconds.
KILL_DELAY_AT_ONCE: Final = 2.0  # The same when the worker is to end at once.


class WorkerExitedError(Exception):
    """A worker's process ended before it served.

    Attributes:
        status: Its exit status; negative for a signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"a worker ended with status {status} before it served")
        self.status = status


class Worker:
    """One worker.

    Args:
        placement: Gives it connections.

    Attributes:
        pid: Its process id.
        declined: The listeners from which it wants no more connections.
        closed: The listeners from which it gets no more connections.
        last_turn: The number of the last turn in which it got a connection, counted by its placement.
        exited: Set when the process has ended.
        needs_replacement: Set when the process has ended, or wants to leave without having been told to.
        answers: Its answers.
    """

    def __init__(self, placement: "Placement") -> None:
        self.pid = 0
        self.declined: set[int] = set()
        self.closed: set[int] = set()
        self.last_turn = 0
        self.exited = trio.Event()
        self.needs_replacement = trio.Event()
        self.answers = Answers()
        self._placement = placement
        self._serving = False
        self._told_to_stop = False
        self._given = self._taken = self._closed = 0
        self._stuck = False
        self._ready = trio.Event()
        self._activity = trio.Event()
        self._lifetime = trio.CancelScope()

    @property
    def open(self) -> int:
        """Its connections, including those that wait for it."""
        return self._given - self._closed

    @property
    def waiting(self) -> int:
        """Connections that it has not taken yet, by its latest report."""
        return self._given - self._taken

    def accepts(self, listener: int) -> bool:
        """Whether it can be given a connection from this listener now."""
        return not (self._stuck or self.exited.is_set() or listener in self.closed or self.waiting >= MAX_WAITING)

    def give(self, listener: int, connection: socket.socket) -> bool:
        """Send it a connection, whose descriptor the caller still closes; False if the channel has no room."""
        if not self._channel.send_now(Connection(listener), connection):
            return False
        self._given += 1
        self._activity.set()
        return True

    def take_back(self) -> list[tuple[int, socket.socket]]:
        """Take back the connections that it has not received, each with its listener."""
        found = self._channel.take_back()
        self._given -= len(found)
        return found

    # The process

    async def run(
        self,
        command: Sequence[str],
        *,
        task_status: trio.TaskStatus["Worker"] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run the process until it ends; started once the worker serves. Cancelling ends the process at once.

        Args:
            command: The command line.
            task_status: Gets this worker.

        Raises:
            WorkerExitedError: The process ended before the worker served.
            OSError: The process cannot be started.
        """
        ours, theirs = channel_pair()
        self._channel = ParentChannel(ours, theirs)
        try:
            process = await start_process(command, theirs)
            self.pid = process.pid
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read_messages)
                    nursery.start_soon(self._serve, task_status)
                    with self._lifetime:
                        await process.wait()
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await self._end_process(process)
                self._read_remaining_messages()
                self.answers.end()
                self.exited.set()
                self.needs_replacement.set()
                if self._serving:
                    self._placement.remove(self)
                    self._placement.reassign(self.take_back())
        finally:
            self._channel.close()
        if not self._serving:
            raise WorkerExitedError(process.returncode or 0)
        if not self._told_to_stop or process.returncode:
            log.warning("worker ended", worker=self.pid, status=process.returncode)

    async def _end_process(self, process: trio.Process) -> None:
        """End the process if it still runs: two signals ask it to stop at once, then it is killed."""
        if process.poll() is None and not self._lifetime.cancelled_caught:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            with trio.move_on_after(KILL_DELAY_AT_ONCE):
                await process.wait()
        if process.poll() is None:
            log.warning("worker did not end in time: killed", worker=self.pid)
            process.kill()
        await process.wait()

    async def _serve(self, task_status: trio.TaskStatus["Worker"]) -> None:
        with trio.move_on_after(START_TIMEOUT):
            await self._ready.wait()
        if not self._ready.is_set():
            log.error("worker did not start in time", worker=self.pid, seconds=START_TIMEOUT)
            self._lifetime.cancel()
            return
        log.info("worker serves", worker=self.pid)
        self._serving = True
        self._placement.add(self)  # No checkpoint before `started`, so a cancelled start never has connections.
        task_status.started(self)
        while True:
            await self._wait_for_activity()
            while self.waiting:
                taken = self._taken
                # Two attempts: if this process itself was stalled, the second reads what the worker sent meanwhile.
                progress = await self._makes_progress(taken) or await self._makes_progress(taken)
                if not progress:
                    await self._wait_until_responsive()

    async def _makes_progress(self, taken: int) -> bool:
        """Whether, in half of `TAKE_TIMEOUT`, it takes more than ``taken`` connections or none waits any more."""
        with trio.move_on_after(TAKE_TIMEOUT / 2):
            while self.waiting and self._taken == taken:
                await self._wait_for_activity()
        return not (self.waiting and self._taken == taken)

    async def _wait_for_activity(self) -> None:
        """Wait until it has sent a message, or was given a connection."""
        await self._activity.wait()
        self._activity = trio.Event()

    async def _wait_until_responsive(self) -> None:
        """Give its waiting connections to other workers, and wait until it sends a message."""
        self._stuck = True
        connections = self.take_back()
        log.info("worker takes no connections: reassigning them", worker=self.pid, connections=len(connections))
        self._send(Ping())
        self._placement.reassign(connections)
        for patience in (SILENCE_TIMEOUT, math.inf):
            with trio.move_on_after(patience):
                while self._stuck:
                    await self._wait_for_activity()
                return
            log.warning("worker does not answer", worker=self.pid)

    async def _read_messages(self) -> None:
        """Read and handle the worker's messages."""
        try:
            while True:
                self._handle((await self._channel.receive())[0])
                self._stuck = False
                self._activity.set()
                self._placement.distribute()
        except (ValueError, trio.EndOfChannel) as error:
            log.error("invalid message from a worker: killed", worker=self.pid, reason=str(error))
            self._lifetime.cancel()

    def _read_remaining_messages(self) -> None:
        """Handle the messages it sent before it ended."""
        try:
            while (received := self._channel.receive_now()) is not None:
                self._handle(received[0])
        except (ValueError, trio.EndOfChannel):
            pass

    def _handle(self, message: FromWorker) -> None:
        match message:
            case Ready():
                self._ready.set()
            case Counts(taken, ended):
                self._taken, self._closed = taken, ended
            case Declined(listener):
                self.declined.add(listener)
                if not self._told_to_stop:
                    self.needs_replacement.set()
            case AnswerPart():
                self.answers.add(message)

    # Messages to it

    def stop(self, grace: float) -> None:
        """Tell it to drain, as all do; it gets connections until `close`. Killed `KILL_DELAY` after ``grace``."""
        self._told_to_stop = True
        self._end_within(grace + KILL_DELAY)
        self._send(Stop())

    def retire(self, grace: float, listeners: int) -> None:
        """Tell it to drain while other workers serve; it gets no more connections."""
        self._told_to_stop = True
        self._end_within(grace + KILL_DELAY_REPLACED)
        self._send(Retire())
        for listener in range(listeners):
            self.close(listener)

    def close(self, listener: int) -> None:
        """Tell it that no more connections from this listener will follow."""
        if listener not in self.closed:
            self.closed.add(listener)
            self._send(NoMoreConnections(listener))

    def _end_within(self, seconds: float) -> None:
        self._lifetime.deadline = min(self._lifetime.deadline, trio.current_time() + seconds)

    def _send(self, message: FromParent) -> None:
        """Send a message. The channel has room for it on top of `MAX_WAITING` connections, else something is broken."""
        if not self.exited.is_set() and not self._channel.send_now(message):
            log.error("channel to a worker is full: killed", worker=self.pid)
            self._lifetime.cancel()

    async def ask(self) -> None:
        """Ask for an answer and wait for it (`Answers.ask`); it is then in `answers`."""
        await self.answers.ask(self._send)
