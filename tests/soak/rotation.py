"""Programs that are stopped gracefully and started again in turn, each on its own port, as a roll-out does."""

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from tests.soak.processes import Program, running


class Rotation:
    """Some programs of a kind, all of which run while nobody stops one."""

    def __init__(self, commands: Sequence[Sequence[str]], nursery: trio.Nursery) -> None:
        self._commands = commands
        self._nursery = nursery
        self._programs: list[Program] = []
        self.complaints: list[str] = []

    async def start(self) -> None:
        """Start them all."""
        for command in self._commands:
            self._programs.append(await self._nursery.start(self._run, command))

    async def turn(self, index: int) -> int:
        """Send SIGTERM to one, wait until it has ended, and start it again; gives the exit status."""
        program = self._programs[index]
        program.send(signal.SIGTERM)
        status = await program.status()
        self._programs[index] = await self._nursery.start(self._run, self._commands[index])
        return status

    async def _run(self, command: Sequence[str], *, task_status: trio.TaskStatus[Program]) -> None:
        async with running(*command) as program:
            await program.port()
            task_status.started(program)
            await program.ended()
        self.complaints += program.complaints


@asynccontextmanager
async def rotating(*commands: Sequence[str]) -> AsyncIterator[Rotation]:
    """Run programs of `tests.soak.program` while the block runs, each by the command line given."""
    async with trio.open_nursery() as nursery:
        rotation = Rotation(commands, nursery)
        await rotation.start()
        yield rotation
        nursery.cancel_scope.cancel()
