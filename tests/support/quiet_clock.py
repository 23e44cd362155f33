"""Virtual time for tests that use real sockets: it advances only once nothing is in transit.

trio's `MockClock` jumps when all tasks have waited for some real milliseconds, so a busy machine, whose kernel delivers
a byte a little later, lets time pass too early. `QuietClock` needs no such guess. It jumps to the next deadline when

- every task waits, and no worker thread of trio's runs;
- no TCP socket of this process holds anything back until what it has sent is acknowledged;
- a byte sent from each processor has come through the loopback interface, behind all that was sent before it, and no
  task has had anything to do since.

It knows of nothing outside this process. Where another program's answer is awaited, turn it forward by `jump`. As it
looks again and again, trio's `wait_all_tasks_blocked` with a cushion never returns under it: wait by `quiet`.
"""

import fcntl
import math
import os
import socket
import stat
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import trio
import trio.testing

TICK: Final = 0.002  # Real seconds after which to look again; more than `tests.support.leaks.settles` takes.
FOR_EVER: Final = 86_400.0  # Real seconds that a sleep may take; a jump ends it.

_DESCRIPTORS: Final = Path("/proc/self/fd")
_LISTEN: Final = 10  # TCP_LISTEN of Linux's <net/tcp_states.h>.
# State, retransmits, backoff, unacknowledged segments, bytes not sent.
_TCP_INFO: Final = struct.Struct("=BxBxB19xI116xI")
_FEW: Final = 2048  # Bytes: fewer than any socket has room for.


class QuietClock(trio.abc.Clock, trio.abc.Instrument):
    """A clock and an instrument for `trio.run`, which must be given it as both; pytest-trio does so for a fixture.

    Attributes:
        jumping: Whether time moves on by itself.
    """

    def __init__(self) -> None:
        self.jumping = True
        self._now = 0.0
        self._started = False

    def jump(self, seconds: float) -> None:
        """Advance the clock."""
        assert seconds >= 0
        self._now += seconds

    # As a clock

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return 0.0 if deadline <= self._now else FOR_EVER

    # As an instrument

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if not self._started and task is not trio.lowlevel.current_root_task():
            self._started = True
            trio.lowlevel.spawn_system_task(self._jump_on)

    async def _jump_on(self) -> None:
        with _watching() as watch:
            while True:
                await watch.until_quiet()
                # Other tasks that wait for this must see it before time passes.
                if self.jumping and len(_watches) == 1:
                    seconds = trio.lowlevel.current_statistics().seconds_to_next_deadline
                    if 0 < seconds < math.inf:
                        self.jump(seconds)


async def quiet() -> None:
    """Wait until nothing is in transit and no task has anything to do, whatever clock the test uses."""
    with _watching() as watch:
        await watch.until_quiet()


_watches: Final[dict[trio.lowlevel.Task, "_Watch"]] = {}


@contextmanager
def _watching() -> Iterator["_Watch"]:
    task = trio.lowlevel.current_task()
    with _Fence() as fence:
        watch = _watches[task] = _Watch(fence)
        trio.lowlevel.add_instrument(watch)
        try:
            yield watch
        finally:
            trio.lowlevel.remove_instrument(watch)
            del _watches[task]
            for other in _watches.values():
                other.steps += 1  # This task has something to do again.


class _Watch(trio.abc.Instrument):
    """Notices whether any task has something to do, other than those that watch."""

    def __init__(self, fence: "_Fence") -> None:
        self._fence = fence
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += task not in _watches

    async def until_quiet(self) -> None:
        while True:
            await trio.testing.wait_all_tasks_blocked(TICK)
            steps = self.steps
            if not _threads_run() and not any(_on_the_way()):
                await self._fence.wait_for_all_before()
                await trio.testing.wait_all_tasks_blocked()
                await trio.lowlevel.checkpoint()  # So that other tasks woken by the same event have run.
                if self.steps == steps:
                    return


class _Fence:
    """A connection over the loopback interface, whose bytes arrive after all that was sent before them.

    Each processor has a queue of its own for that interface, so a byte is sent from each.
    """

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self._sending = socket.create_connection(listening.getsockname())
            self._receiving = listening.accept()[0]
        self._sending.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._receiving.setblocking(False)

    async def wait_for_all_before(self) -> None:
        coming = self._send()
        while coming:
            await trio.lowlevel.wait_readable(self._receiving)
            coming -= len(self._receiving.recv(coming))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sending.close()
        self._receiving.close()

    def _send(self) -> int:
        """Send the bytes; returns how many there were."""
        if not hasattr(os, "sched_getaffinity"):
            return self._sending.send(b"x")
        processors = os.sched_getaffinity(0)
        try:
            for processor in processors:
                os.sched_setaffinity(0, {processor})
                self._sending.send(b"x")
        finally:
            os.sched_setaffinity(0, processors)
        return len(processors)


def _threads_run() -> bool:
    return trio.to_thread.current_default_thread_limiter().borrowed_tokens > 0


def _on_the_way() -> Iterator[bool]:
    """For each TCP connection of this process, whether the kernel still has something of it to deliver.

    Connections with only a few unacknowledged bytes do not count: an acknowledgement may be 40 ms late, although the
    fence shows that the bytes have arrived. Nor does data that the other end has no room for, whether it is unsent or
    sent again and discarded: Linux then counts retransmits or, if the window is closed, only how often it backs off.
    """
    if not _DESCRIPTORS.exists():
        return
    for entry in list(_DESCRIPTORS.iterdir()):
        with suppress(OSError):  # The descriptor that lists the folder is closed by now.
            descriptor = int(entry.name)
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as found:
                if found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM:
                    info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
                    state, retransmits, backoff, unacknowledged, unsent = _TCP_INFO.unpack(info)
                    held = int.from_bytes(fcntl.ioctl(found, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
                    again = retransmits > 0 or backoff > 0
                    yield state != _LISTEN and unacknowledged > 0 and not again and (unsent > 0 or held > _FEW)
