"""Ways for one task to wake another, free of lost wake-ups: nothing is awaited between check and wait."""

from collections.abc import Awaitable
from typing import Protocol

import anyio


class Signal:
    """Wakes whoever waits now. The waiter looks at the state it waits for, and waits again if need be."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def set(self) -> None:
        """Wake all who wait."""
        if self._event is not None:
            self._event.set()
            self._event = None

    def wait(self) -> Awaitable[None]:
        """What to await for the next `set`; a plain function, for a coroutine less in every call that waits."""
        if self._event is None:
            self._event = anyio.Event()
        return self._event.wait()


class SignalLike(Protocol):
    """A `Signal`, or what does the same at less cost (`echo.transport.backend`)."""

    def set(self) -> None:
        """Wake all who wait."""

    def wait(self) -> Awaitable[None]:
        """What to await for the next `set`."""


class Doorbell:
    """Calls one worker to its work until it is closed; rings while it works are kept."""

    __slots__ = ("_closed", "_rung", "_signal")

    def __init__(self, signal: SignalLike) -> None:
        self._signal = signal
        self._rung = False
        self._closed = False

    @property
    def rung(self) -> bool:
        """Whether there is work that was not begun."""
        return self._rung

    def ring(self) -> None:
        """There is work."""
        if not self._rung:
            self._rung = True
            self._signal.set()

    def close(self) -> None:
        """There will be no more work; what was rung for before is still answered."""
        self._closed = True
        self._signal.set()

    async def answer(self) -> bool:
        """Wait for work; False when there is none and will be none."""
        while not self._rung:
            if self._closed:
                return False
            await self._signal.wait()
        self._rung = False
        return True
