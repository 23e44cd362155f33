"""Processes of `tests.soak.program` from outside: started, asked, ended by id, and what the system says of them."""

import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Final

import trio

from tests.soak.program import LOOPBACK
from tests.support.process import ROOT, environment

TICK: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
MEGABYTE: Final = 2**20
PATIENCE: Final = 60.0  # Seconds after which whatever is waited for counts as never to come.
SETTLING: Final = 60.0  # Seconds that a program may take to come to rest, even while others run.

SERVE: Final = ["serve", "--grpc-server-bind", LOOPBACK]
GATEWAY: Final = ["gateway", "--http-bind", LOOPBACK, "--grpc-server-host", LOOPBACK]
ANYWHERE: Final = ["--http-port", "0"]


@dataclass(frozen=True)
class Holdings:
    """What a process holds: file descriptors and sockets by the system's word, tasks and objects by its own."""

    descriptors: int
    sockets: int
    inside: Mapping[str, int]

    def beyond(self, other: "Holdings") -> dict[str, int]:
        """What there is more of than in the other."""
        mine = {"descriptors": self.descriptors, "sockets": self.sockets, **self.inside}
        others = {"descriptors": other.descriptors, "sockets": other.sockets, **other.inside}
        return {what: count - others.get(what, 0) for what, count in mine.items() if count > others.get(what, 0)}


class Program:
    """A running program.

    Attributes:
        pid: Its process id.
        left: When its handlers ended, by name, if it is a notary; seconds of the machine's monotonic clock.
        entered: When they began.
        complaints: Lines of its log that should not be there: errors and tracebacks.
    """

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.left: dict[str, float] = {}
        self.entered: dict[str, float] = {}
        self.complaints: list[str] = []
        self.news = trio.Condition()
        self._words: dict[str, str] = {}
        self._ended = False

    async def port(self) -> int:
        """The port it listens on, as soon as it does; of the gateway, the one for HTTP."""
        return int(json.loads(await self.said("grpc", "gateway"))["port"])

    async def said(self, *words: str) -> str:
        """Wait for a line that begins with one of the words, or of JSON about such a service."""
        with trio.fail_after(PATIENCE):
            async with self.news:
                while True:
                    for word in words:
                        if word in self._words:
                            return self._words[word]
                    if self._ended:
                        raise AssertionError(f"process {self.pid} ended and never said {words}: {self.complaints}")
                    await self.news.wait()

    async def holdings(self) -> Holdings:
        """Ask it what it holds, once it has started."""
        await self.port()
        self._words.pop("census", None)
        self.send(signal.SIGUSR1)
        inside: dict[str, int] = json.loads((await self.said("census")).partition(" ")[2])
        links = list(self._links())
        return Holdings(len(links), sum(link.startswith("socket:") for link in links), inside)

    async def leftovers(self, before: Holdings) -> dict[str, int]:
        """Wait until it holds no more than before; what it still holds beyond that when it has had time enough."""
        deadline = trio.current_time() + SETTLING
        while True:
            found = (await self.holdings()).beyond(before)
            if not found or trio.current_time() > deadline:
                return found
            await trio.sleep(0.1)

    @property
    def sockets(self) -> int:
        return sum(link.startswith("socket:") for link in self._links())

    @property
    def rss(self) -> int:
        """Bytes of memory it occupies."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE

    @property
    def cpu(self) -> float:
        """CPU time so far in seconds, user and system."""
        return cpu_seconds(self.pid)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def status(self) -> int:
        """Wait for its end; the exit status."""
        with trio.fail_after(PATIENCE):
            return await self._process.wait()

    async def ended(self) -> None:
        """Wait for its end, however long it runs."""
        await self._process.wait()

    async def leaves(self, *names: str) -> bool:
        """Wait until the handlers of these names have ended; tells whether they did within a fair time."""
        with trio.move_on_after(SETTLING):
            async with self.news:
                while not self.left.keys() >= set(names) and not self._ended:
                    await self.news.wait()
        return self.left.keys() >= set(names)

    async def enters(self, name: str) -> None:
        """Wait until the handler of this name has begun."""
        with trio.fail_after(PATIENCE):
            async with self.news:
                while name not in self.entered and not self._ended:
                    await self.news.wait()

    def _links(self) -> Iterator[str]:
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                yield str(entry.readlink())
            except FileNotFoundError:
                continue

    async def listen(self) -> None:
        """Take in what it prints, until its end."""
        assert self._process.stdout is not None
        async for line in _lines(self._process.stdout):
            word, _, rest = line.partition(" ")
            if line.startswith("{"):
                word = json.loads(line).get("service", "")
            async with self.news:
                if word in ("left", "entered"):
                    name, _, moment = rest.partition(" ")
                    (self.left if word == "left" else self.entered)[name] = float(moment)
                else:
                    self._words[word] = line
                self.news.notify_all()
        async with self.news:
            self._ended = True
            self.news.notify_all()

    async def read_log(self) -> None:
        """Pick the complaints out of what it logs."""
        assert self._process.stderr is not None
        async for line in _lines(self._process.stderr):
            if (
                any(sign in line for sign in ("Traceback", '"error"', '"critical"', "Error"))
                and len(self.complaints) < 100
            ):
                self.complaints.append(line)


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    rest = b""
    while data := await stream.receive_some():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")


@asynccontextmanager
async def running(*arguments: str, **variables: str) -> AsyncIterator[Program]:
    """Run a program of `tests.soak.program` while the block runs; it is killed if it has not ended by then."""
    command = [sys.executable, "-m", "tests.soak.program", *arguments]
    process = await trio.lowlevel.open_process(
        command, stdout=PIPE, stderr=PIPE, cwd=str(ROOT), env=environment(LOG_FORMAT="json", **variables)
    )
    program = Program(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.listen)
            nursery.start_soon(program.read_log)
            try:
                yield program
            finally:
                if process.poll() is None:
                    process.kill()
    finally:
        with trio.CancelScope(shield=True):
            await process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@dataclass
class Shares:
    """What part of a core each of two processes used, and of all cores the whole machine."""

    load: float = 0.0
    server: float = 0.0
    machine: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        busier, share = max(("load", self.load), ("server", self.server), key=lambda side: side[1])
        verdict = f"{busier} saturated" if share > 0.9 else "neither saturated"
        if share <= 0.9 and self.machine > 0.9:
            verdict = "the machine saturated, by others too"
        return f"server {self.server:.0%}, load {self.load:.0%}, machine {self.machine:.0%}: {verdict}"


@contextmanager
def shares(server: Program) -> Iterator[Shares]:
    """Measure the CPU time that this process and a server use during the block; filled in when it is left."""
    found, began, ours, theirs, (all_idle, all_time) = (
        Shares(), time.monotonic(), cpu_seconds(os.getpid()), server.cpu, _machine()
    )  # fmt: skip
    yield found
    found.seconds = time.monotonic() - began
    found.load = (cpu_seconds(os.getpid()) - ours) / found.seconds
    found.server = (server.cpu - theirs) / found.seconds
    idle, total = _machine()
    found.machine = 1 - (idle - all_idle) / max(total - all_time, 1)


def _machine() -> tuple[int, int]:
    """Ticks that all cores have been idle, and ticks altogether."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)
