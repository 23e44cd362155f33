"""Plain Hypercorn with the gateway's application, as a process of its own."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from subprocess import PIPE

import trio

from echo.rpc import Server
from echo.services import echo_services
from tests.support.process import PATIENCE, ROOT, environment
from tests.support.serving import LOOPBACK, serving

COMMAND = [sys.executable, "-m", "hypercorn"]
FLAGS = ["--worker-class", "trio", "--bind", f"{LOOPBACK}:0"]
APPLICATION = "echo.gateway:app"


class Hypercorn:
    """A running Hypercorn.

    Attributes:
        port: Where it listens.
        process: For signals.
        log: What it has said on standard error so far.
    """

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.port = 0
        self.log = ""

    async def started(self) -> None:
        """Wait until it is listening."""
        while (found := re.search(r"Running on https?://127.0.0.1:(\d+) ", self.log)) is None:
            await self._more()
        self.port = int(found[1])

    async def listen(self) -> None:
        """Read its output until it ends."""
        while await self._more():
            pass

    async def _more(self) -> bool:
        assert self.process.stderr is not None
        data = await self.process.stderr.receive_some(10_000)
        self.log += data.decode(errors="replace")
        return bool(data)


@asynccontextmanager
async def hypercorn(*flags: str, **variables: str) -> AsyncIterator[Hypercorn]:
    """Hypercorn with the application, in front of an echo server.

    Args:
        flags: For its command line besides `FLAGS`; with ``--config`` among them, instead of those.
        variables: The application's environment.
    """
    command = [*COMMAND, *(() if "--config" in flags else FLAGS), *flags, APPLICATION]
    async with serving(Server(echo_services().services)) as grpc_port, trio.open_nursery() as nursery:
        settings = environment(GRPC_SERVER_HOST=LOOPBACK, GRPC_SERVER_PORT=str(grpc_port), **variables)
        start = partial(trio.run_process, command, stderr=PIPE, cwd=ROOT, env=settings, check=False)
        running = Hypercorn(await nursery.start(start))
        with trio.fail_after(PATIENCE):
            await running.started()
        nursery.start_soon(running.listen)
        yield running
        running.process.terminate()
