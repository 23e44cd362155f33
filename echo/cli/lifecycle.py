"""From start to exit: what signals mean, and nothing else.

The first SIGTERM or SIGINT asks the program to stop gracefully; the second stops it at once, by cancelling everything.
While the program is starting, the first does that, since there is nothing to drain. One task watches for both, in the
nursery that runs the program, from before anything listens until the last connection is closed. Nothing of ours runs
inside a signal handler.

SIGHUP makes a program look at its TLS files. It ends a program that has none, or whose terminal has closed.
"""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import structlog
import trio

from echo.terminal import Terminal
from echo.transport import Signal, open_background

__all__ = ["Hangup", "Program", "Stop", "receiving_hangups", "run_until_signalled"]

log = structlog.get_logger(__name__)

Stop = Callable[[], Awaitable[None]]
"""Returns when the program should stop gracefully; several tasks may await it."""

Hangup = Callable[[], Awaitable[None]]
"""Returns at the next SIGHUP; several tasks may await it."""


class Program(Protocol):
    """A program that is started, runs until it should stop, and drains."""

    def __call__(self, stop: Stop, /, *, task_status: trio.TaskStatus[None]) -> Awaitable[None]:
        """Run until ``stop()`` returns, then drain; ``task_status`` is told when it has started."""


async def run_until_signalled(program: Program) -> int:
    """Run a program that stops gracefully on the first signal and at once on the second.

    Args:
        program: The program. If the first signal comes before it has started, it is cancelled.

    Returns:
        The exit status: 0, also after one signal; after a second, 128 plus its number, as in shells (130 for SIGINT,
        143 for SIGTERM).

    Raises:
        BaseExceptionGroup: What the program raised.
    """
    stop = trio.Event()
    starting = trio.CancelScope()
    second_signal: list[int] = []

    async def watch(signals: AsyncIterator[int]) -> None:
        number = await anext(signals)
        log.info("stopping", signal=signal.Signals(number).name)
        starting.cancel()
        stop.set()
        number = await anext(signals)
        log.warning("stopping at once", signal=signal.Signals(number).name)
        second_signal.append(number)
        nursery.cancel_scope.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, signals)
            async with trio.open_nursery() as running:
                with starting:
                    await running.start(program, stop.wait)
            nursery.cancel_scope.cancel()
    return 128 + second_signal[0] if second_signal else 0


@asynccontextmanager
async def receiving_hangups(*, wanted: bool) -> AsyncIterator[Hangup]:
    """Receive SIGHUP while the block runs; if that is not ``wanted``, SIGHUP keeps its effect."""
    if not wanted:
        yield trio.sleep_forever
        return
    hung_up, terminal = Signal(), Terminal()

    async def relay(hangups: AsyncIterator[int]) -> None:
        async for _ in hangups:
            if terminal.has_closed():
                signal.raise_signal(signal.SIGTERM)
                return
            log.info("looking at the TLS files", signal="SIGHUP")
            hung_up.set()

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # From now on: one that comes after the block must not end us.
    with trio.open_signal_receiver(signal.SIGHUP) as hangups:
        async with open_background() as tasks:
            tasks.start_soon(relay, hangups)
            yield hung_up.wait
            tasks.cancel_scope.cancel()
