"""From start to exit: what signals mean, and nothing else.

The first SIGTERM or SIGINT asks the program to stop in good order, which it does in its own time; the second ends it
at once, by cancelling everything. Both are seen by one task in the nursery that also runs the program, from before
anything listens until after the last connection is closed. No handler of ours runs inside a signal.
"""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
import trio

__all__ = ["Stop", "run_until_signalled"]

log = structlog.get_logger(__name__)

Stop = Callable[[], Awaitable[None]]
"""Returns when the program shall stop in good order; may be awaited by several tasks."""


async def run_until_signalled(program: Callable[[Stop], Awaitable[None]]) -> int:
    """Run a program that stops in good order when it is asked to.

    Args:
        program: Called with a function to await; when that returns, the program drains and then returns.

    Returns:
        The exit status: 0, also after a signal; 128 and the signal's number when a second one ended it at once,
        as shells have it (130 for SIGINT, 143 for SIGTERM).

    Raises:
        BaseExceptionGroup: With what the program raised.
    """
    stop = trio.Event()
    last_word: list[int] = []

    async def watch(signals: AsyncIterator[int]) -> None:
        number = await anext(signals)
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()
        number = await anext(signals)
        log.warning("stopping at once", signal=signal.Signals(number).name)
        last_word.append(number)
        nursery.cancel_scope.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, signals)
            await program(stop.wait)
            nursery.cancel_scope.cancel()
    return 128 + last_word[0] if last_word else 0
