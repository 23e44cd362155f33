"""Processes that are measured: each started on a core of its own, known by its id, and ended by it.

On a machine of two cores the server has the first and the load the second; with more, the load may use all the others.
The CPU time of another process comes from its CPU clock, which counts nanoseconds and the threads that have ended too;
``/proc/PID/stat`` counts ticks of ten milliseconds, too coarse for the short runs here.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
START_TIMEOUT = 30.0  # Seconds a process has to say where it listens; grpcio and uvicorn take a second to import.
ORDER_TIMEOUT = 60.0  # Seconds an order may take; samples take one or two.

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = {_CORES[0]}
LOAD_CORES = set(_CORES[1:]) or SERVER_CORES


@dataclass(frozen=True)
class Child:
    """A running process.

    Attributes:
        pid: Its process id.
        port: What it announced on its first line: where it listens.
        stdin, stdout: Its pipes, for a process that takes orders line by line.
    """

    pid: int
    port: int
    stdin: IO[str]
    stdout: IO[str]

    def cpu_ns(self) -> int:
        """CPU time so far, user and system, of all its threads, in nanoseconds."""
        return cpu_ns(self.pid)

    def order(self, line: str) -> str:
        """Write a line to it and wait for the one that it answers.

        Raises:
            RuntimeError: It ended, or was ended since it took longer than a minute.
        """
        with killed_after(ORDER_TIMEOUT, self.pid):
            self.stdin.write(line + "\n")
            self.stdin.flush()
            answer = self.stdout.readline()
        if not answer:
            raise RuntimeError(f"no answer to {line!r}")
        return answer


def cpu_ns(pid: int) -> int:
    """CPU time of a process so far, in nanoseconds. Raises OSError when there is no such process."""
    return time.clock_gettime_ns((~pid << 3) | 2)  # How Linux names the CPU clock of a process: clock_getcpuclockid(3).


@contextmanager
def killed_after(seconds: float, pid: int) -> Iterator[None]:
    """Kill a child, whose end has not been waited for, if the block takes longer than that."""
    watchdog = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        watchdog.join()


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Keep this thread, and all that it starts meanwhile, to these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(
    command: Sequence[str],
    cores: set[int] | None = None,
    *,
    stdin: int | None = None,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
) -> "subprocess.Popen[str]":
    """Start a program whose output we read, on the server's core unless told otherwise."""
    with pinned(cores or SERVER_CORES):  # A child begins where its parent is, all its threads included.
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=ROOT,
            env=env,
            process_group=0,  # Ctrl-C reaches only us, and we end it.
        )


@contextmanager
def child(module: str, *arguments: str, cores: set[int] | None = None) -> Iterator[Child]:
    """Run ``python -m module arguments`` for the block, on the server's core unless told otherwise; then kill it.

    Raises:
        RuntimeError: It ended, or said nothing for half a minute, instead of announcing its port.
    """
    command = [sys.executable, "-m", module, *arguments]
    with start(command, cores, stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            with killed_after(START_TIMEOUT, process.pid):
                line = process.stdout.readline()
            if not line.strip().isdigit():
                raise RuntimeError(f"{' '.join(command)} announced no port but {line!r}")
            yield Child(process.pid, int(line), process.stdin, process.stdout)
        finally:
            process.send_signal(signal.SIGKILL)
