"""echo's own programs as they are deployed: ``python -m echo serve`` and ``gateway``, with their workers."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.memory import resident
from tests.bench.peers import LOOPBACK
from tests.bench.processes import START_TIMEOUT, cpu_ns, killed_after, start
from tests.support.process import environment

PORT = re.compile(r'"port": (\d+)')
END_TIMEOUT = 30.0  # Seconds; its grace period for open calls is one.


@dataclass(frozen=True)
class Program:
    """A running program.

    Attributes:
        pid: Its process id; with several workers, their parent's.
        port: Where it listens.
    """

    pid: int
    port: int

    def pids(self) -> list[int]:
        """Its process and its workers'."""
        # A child belongs to the thread that started it.
        lists = [tasks.read_text() for tasks in Path(f"/proc/{self.pid}/task").glob("*/children")]
        return [self.pid, *(int(pid) for pids in lists for pid in pids.split())]

    def cpu_ns(self) -> int:
        """CPU time so far of all its processes, in nanoseconds."""
        return sum(map(cpu_ns, self.pids()))

    def memory(self) -> int:
        """Resident memory of all its processes, in bytes."""
        return sum(map(resident, self.pids()))


@contextmanager
def serve(*, workers: int = 1, cores: set[int] | None = None) -> Iterator[Program]:
    """The gRPC server, ended after the block."""
    flags = ["--workers", str(workers)] if workers > 1 else []
    with _run("serve", "--grpc-server-bind", LOOPBACK, "--grpc-server-port", "0", *flags, cores=cores) as program:
        yield program


@contextmanager
def gateway(backend: int, *, workers: int = 1, cores: set[int] | None = None) -> Iterator[Program]:
    """The gateway to a server at this port, ended after the block."""
    flags = ["--workers", str(workers)] if workers > 1 else []
    place = ["--http-bind", LOOPBACK, "--http-port", "0", "--grpc-server-host", LOOPBACK]
    with _run("gateway", *place, "--grpc-server-port", str(backend), *flags, cores=cores) as program:
        yield program


@contextmanager
def _run(name: str, *arguments: str, cores: set[int] | None) -> Iterator[Program]:
    """Raises RuntimeError: it ended, or ran for half a minute, without saying where it listens."""
    common = ["--log-format", "json", "--log-level", "info", "--access-log", "off", "--shutdown-grace", "1s"]
    command = [sys.executable, "-m", "echo", name, *arguments, *common]
    with start(command, cores, stderr=subprocess.DEVNULL, env=environment()) as process:
        try:
            assert process.stdout is not None
            with killed_after(START_TIMEOUT, process.pid):
                announced = next((found for found in map(PORT.search, process.stdout) if found), None)
            if announced is None:
                raise RuntimeError(f"{' '.join(command)} announced no port")
            yield Program(process.pid, int(announced[1]))
        finally:
            process.terminate()
            with killed_after(END_TIMEOUT, process.pid):
                process.wait()
