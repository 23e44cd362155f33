"""A supervisor of small real workers (`tests.support.worker`), and clients that learn which worker serves them."""

import sys
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from anyio.abc import SocketAttribute

from echo.rpc import open_tcp_listener
from echo.transport import StreamListener
from echo.workers import Supervisor
from tests.support.serving import LOOPBACK

PATIENCE = 60.0
GRACE = 100.0  # No test waits for it.


class Running:
    """A running supervisor.

    Attributes:
        ports: Where it listens.
        final_answers: The final answers of workers that have ended.
        stop: Set it to drain.
        ended: Set when it has ended.
        scope: Cancel it to end at once.
    """

    def __init__(self, listeners: list[StreamListener], command: list[str], number: int, ports: list[int]) -> None:
        self.final_answers: list[bytes] = []
        self.supervisor = Supervisor(command, listeners, number, GRACE, self.final_answers.append)
        self.ports = ports
        self.stop = trio.Event()
        self.ended = trio.Event()
        self.scope = trio.CancelScope()

    @property
    def pids(self) -> set[int]:
        return {worker.pid for worker in self.supervisor.workers}

    async def until(self, pids: int, without: AbstractSet[int] = frozenset()) -> set[int]:
        """Wait until this many workers serve, and none of ``without``; returns their process ids."""
        await until(lambda: len(self.pids) == pids and not self.pids & without)
        return self.pids


async def run(folder: Path, number: int = 2, *, listeners: int = 1, task_status: trio.TaskStatus[Running]) -> None:
    opened = [await open_tcp_listener(LOOPBACK, 0) for _ in range(listeners)]
    command = [sys.executable, "-m", "tests.support.worker", str(folder), str(listeners)]
    ports = [each.extra(SocketAttribute.local_port) for each in opened]
    running = Running(opened, command, number, ports)
    try:
        with running.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(running.supervisor.run, running.stop.wait)
                task_status.started(running)
    finally:
        for listener in opened:
            await listener.aclose()
        running.ended.set()


@asynccontextmanager
async def supervised(folder: Path, number: int = 2, *, listeners: int = 1) -> AsyncIterator[Running]:
    async with trio.open_nursery() as nursery:

        async def start(*, task_status: trio.TaskStatus[Running]) -> None:
            await run(folder, number, listeners=listeners, task_status=task_status)

        running: Running = await nursery.start(start)
        yield running
        running.stop.set()


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    while not happened():  # noqa: ASYNC110 - No event tells of it.
        await trio.sleep(0.002)


class Client:
    """A connection, and the process id of the worker that serves it."""

    def __init__(self, stream: trio.SocketStream, pid: int) -> None:
        self.stream = stream
        self.pid = pid

    async def echoes(self, text: bytes = b"hi") -> bool:
        """Whether the worker still answers."""
        try:
            await self.stream.send_all(text)
            return bool(await self.stream.receive_some())
        except trio.BrokenResourceError:
            return False


async def connect(port: int) -> Client:
    stream = await trio.open_tcp_stream(LOOPBACK, port)
    greeting = b""
    while not greeting.endswith(b"\n"):
        data = await stream.receive_some()
        assert data, "closed before anybody served it"
        greeting += data
    return Client(stream, int(greeting))
