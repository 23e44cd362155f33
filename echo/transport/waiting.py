"""Ways for one task to wake another. No wake-up is lost, as nothing is awaited between check and wait."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from echo.transport.trio_backend import TrioSignal

SignalLike: TypeAlias = "Signal | TrioSignal"  # The latter is cheaper.


class Signal:
    """Wakes the tasks that wait at the moment. They check the state they wait for, and wait again if necessary."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def set(self) -> None:
        """Wake all who wait."""
        if self._event is not None:
            self._event.set()
            self._event = None

    def wait(self) -> Awaitable[None]:
        """An awaitable for the next `set`. A plain function, to save a coroutine each time."""
        if self._event is None:
            self._event = anyio.Event()
        return self._event.wait()


class Doorbell:
    """Wakes one worker task when there is work, until closed. A ring while it works is remembered.

    Attributes:
        rung: Whether there is work that the worker has not begun. Only the bell sets it.
    """

    __slots__ = ("_closed", "_signal", "rung")

    def __init__(self, signal: SignalLike) -> None:
        self._signal = signal
        self.rung: bool = False
        self._closed = False

    def ring(self) -> None:
        """Announce work."""
        if not self.rung:
            self.rung = True
            self._signal.set()

    def close(self) -> None:
        """Announce that no more work will come; work announced before is still done."""
        self._closed = True
        self._signal.set()

    async def answer(self) -> bool:
        """Wait for work; False once the bell is closed and no work is left."""
        while not self.rung:
            if self._closed:
                return False
            await self._signal.wait()
        self.rung = False
        return True


async def until_read() -> None:
    """After a timeout, let the readers read what has arrived while the process was stopped or busy.

    It takes more than one turn of the event loop. If the process was stopped, the first look at the sockets may find
    nothing: `epoll.poll` returns no events if it was interrupted and its time is up. On asyncio, readers wake a turn
    later.
    """
    for _ in range(3):
        await checkpoint()
