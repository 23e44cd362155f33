"""Remembers the event loop that an object belongs to, so that other threads can use it."""

from collections.abc import Callable
from threading import get_ident

import anyio
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

    def call_soon(self, function: Callable[..., object], *arguments: object) -> bool:
        """Have the loop's thread call the function, in the calling thread's context.

        Never waits, so a finalizer may do it in any thread. Returns False if the loop has ended.
        """
        try:
            self.token.backend_class.run_sync_soon(function, arguments, self.token.native_token)
        except anyio.RunFinishedError:
            return False
        return True

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
