"""Remembers the event loop that an object belongs to, so that other threads can use it."""

from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Any

from anyio.lowlevel import EventLoopToken, current_token


class EventLoop:
    """The event loop that runs when the instance is created.

    Attributes:
        token: For ``anyio.from_thread.run(..., token=)``.
    """

    def __init__(self) -> None:
        self.token: EventLoopToken = current_token()
        self._thread = get_ident()

    @property
    def here(self) -> bool:
        """Whether the caller runs in the loop's thread."""
        return get_ident() == self._thread

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have the loop's thread call the function. Never waits, so a finalizer may do it in any thread.

        Nothing happens if the loop has ended.
        """
        native: Any = self.token.native_token  # Of trio or of asyncio.
        with suppress(RuntimeError):
            (native.run_sync_soon if hasattr(native, "run_sync_soon") else native.call_soon_threadsafe)(function)

    def refuse_elsewhere(self) -> None:
        """Check that the caller, who uses a channel, runs in the loop's thread.

        Raises:
            RuntimeError: It runs in another.
        """
        if get_ident() != self._thread:
            raise RuntimeError(
                "the channel belongs to another thread's event loop: open one in this thread, or run the call there, "
                "with 'anyio.from_thread.run(..., token=channel.loop.token)'"
            )
