"""``python -m echo`` as a process of its own: its output line by line, its signals, its exit status."""

import codecs
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import trio

from echo.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # Seconds after which a wait fails. A process takes one to start, on a busy machine twenty.


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "echo", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without any setting of echo, and with these variables."""
    ours = {setting.variable for setting in SETTINGS}
    return {name: value for name, value in os.environ.items() if name not in ours} | variables


def finished(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run an echo process that ends by itself."""
    return subprocess.run(
        command(*arguments),
        env=environment(**variables),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Echo:
    """A running echo process. A wait that times out fails and shows the output so far.

    Attributes:
        stdout: What has been printed so far.
        stderr: What has been logged so far.
        sent: The signals it was sent by `send`.
    """

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._news = trio.Condition()
        self._silent: set[str] = set()
        self.stdout = ""
        self.stderr = ""
        self.sent: list[signal.Signals] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self.sent.append(number)
        self._process.send_signal(number)

    async def printed(self, pattern: str) -> re.Match[str]:
        """Wait until a line of standard output matches."""
        return await self._said("stdout", pattern)

    async def logged(self, pattern: str) -> re.Match[str]:
        """Wait until a line of standard error matches."""
        return await self._said("stderr", pattern)

    async def status(self) -> int:
        """Wait for its end; returns the exit status, which is negative if a signal killed it."""
        with trio.fail_after(PATIENCE):
            return await self._process.wait()

    async def grpc_port(self) -> int:
        return await self._port("grpc", r"gRPC server on \S+:(\d+) ")

    async def http_port(self) -> int:
        return await self._port("gateway", r"gateway on https?://\S+:(\d+) ")

    async def health_port(self) -> int:
        return await self._port("health", r"health of the gRPC server on port (\d+) ")

    async def announced(self, service: str) -> dict[str, object]:
        """Wait until it logs, in JSON, where this service listens."""
        found: dict[str, object] = json.loads((await self.printed(rf'^\{{.*"service": "{service}".*$'))[0])
        return found

    async def metrics_port(self) -> int:
        return await self._port("metrics", r"metrics: http://\S+:(\d+)/metrics")

    async def _port(self, service: str, text: str) -> int:
        """The port that it logs, in JSON or in text."""
        match = await self.printed(rf'^(?:\{{.*"service": "{service}".*"port": (\d+)\b|{text})')
        return int(match[1] or match[2])

    async def _said(self, stream: str, pattern: str) -> re.Match[str]:
        expression = re.compile(pattern, re.MULTILINE)
        with trio.move_on_after(PATIENCE):
            async with self._news:
                while not (match := expression.search(getattr(self, stream))) and stream not in self._silent:
                    await self._news.wait()
                if match:
                    return match
        raise AssertionError(f"{pattern!r} never came; stdout: {self.stdout!r}, stderr: {self.stderr!r}")

    async def pump(self, name: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Collect the lines of one of its streams until that ends."""
        stream = self._process.stdout if name == "stdout" else self._process.stderr
        assert stream is not None
        decoder = codecs.getincrementaldecoder("utf-8")()  # A chunk may end in the middle of a character.
        task_status.started()
        async with stream:
            async for data in stream:
                async with self._news:
                    setattr(self, name, getattr(self, name) + decoder.decode(data))
                    self._news.notify_all()
            async with self._news:
                self._silent.add(name)
                self._news.notify_all()


@asynccontextmanager
async def running_unread(command_line: Sequence[str], env: Mapping[str, str], cwd: Path = ROOT) -> AsyncIterator[Echo]:
    """`running_as`, but nobody reads its standard error, a pipe, until `Echo.pump` is called for it."""
    process = await trio.lowlevel.open_process(command_line, stdout=PIPE, stderr=PIPE, cwd=str(cwd), env=env)
    echo = Echo(process)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(echo.pump, "stdout")
            try:
                yield echo
            finally:
                if process.poll() is None:
                    process.kill()
    finally:
        with trio.CancelScope(shield=True):
            await process.wait()


@asynccontextmanager
async def running_as(command_line: Sequence[str], env: Mapping[str, str], cwd: Path = ROOT) -> AsyncIterator[Echo]:
    """Run a command line that becomes an echo process, for the block. If it has not ended by then, it is killed."""
    async with trio.open_nursery() as nursery, running_unread(command_line, env, cwd) as echo:
        await nursery.start(echo.pump, "stderr")
        yield echo


@asynccontextmanager
async def running(*arguments: str, **variables: str) -> AsyncIterator[Echo]:
    """The same with ``python -m echo``."""
    async with running_as(command(*arguments), environment(**variables)) as echo:
        yield echo
