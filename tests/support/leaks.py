"""Checks for leaks: tasks, file descriptors, connections and calls are counted before and after a block."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing

from echo.rpc import Channel, Server

PATIENCE = 5_000  # How many rounds of about a millisecond something may take to settle.

_DESCRIPTORS = Path("/proc/self/fd")


class Leaks:
    """What `no_leaks` checks besides tasks and descriptors: servers and channels that are created in its block."""

    def __init__(self) -> None:
        self._watched: list[Server | Channel] = []

    def watch(self, *parties: Server | Channel) -> None:
        """Also count the calls and connections of these."""
        self._watched.extend(parties)

    async def no_calls(self) -> None:
        """Wait until no call is open on either side. Connections may stay open."""
        await settles(lambda: sum(party.calls for party in self._watched), 0, "open calls")

    async def no_connections(self) -> None:
        """Wait until no connection is open on either side."""
        await settles(lambda: sum(party.connections for party in self._watched), 0, "open connections")


@asynccontextmanager
async def no_leaks(*, descriptors: bool = True) -> AsyncIterator[Leaks]:
    """Everything that the block starts and opens must be gone when it ends, without relying on garbage collection.

    Args:
        descriptors: Count those too. Not where grpcio takes part, which opens some for itself and keeps them.
    """
    tasks = _tasks()
    opened = _descriptors()
    leaks = Leaks()
    yield leaks
    await leaks.no_calls()
    await leaks.no_connections()
    await settles(lambda: sorted(task.name for task in _tasks() - tasks), [], "tasks left over")
    if descriptors:
        # Threads of other libraries may close their own meanwhile, so only new descriptors count.
        await settles(lambda: sorted(_descriptors() - opened), [], "descriptors left over")


async def settles(value: Callable[[], object], wanted: object, what: str) -> None:
    """Wait until ``value()`` is ``wanted``. The wait is limited in real time, whatever clock the test uses."""
    for _ in range(PATIENCE):
        if value() == wanted:
            return
        await trio.testing.wait_all_tasks_blocked(0.001)
    raise AssertionError(f"{what}: {value()!r}, wanted {wanted!r}")


def _tasks() -> set[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return set(_below(root))


def _below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from _below(child)


def _descriptors() -> set[tuple[int, str]]:
    """The number and target of each open descriptor, on systems that show them."""
    if not _DESCRIPTORS.exists():
        return set()
    found = set()
    for entry in _DESCRIPTORS.iterdir():
        try:
            found.add((int(entry.name), str(entry.readlink())))
        except FileNotFoundError:  # The descriptor that was used to list the directory.
            continue
    return found
