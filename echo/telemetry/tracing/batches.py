"""Spans on their way out: a bounded queue, and the one task that empties it.

Whoever ends a span puts its bytes here and goes on; that never waits. (Bytes, because objects that wait here would have
Python collect garbage more often, which costs more than encoding them.) With a collector that is slow, or down, the
queue fills up, and what comes on top is dropped and counted. The log says so when it begins, and when it is over.
"""

import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import anyio
import anyio.to_thread

from echo.transport import Signal

__all__ = ["Batches", "ExportError", "Send"]

log = logging.getLogger(__name__)

Send: TypeAlias = Callable[[Sequence[bytes]], Awaitable[None]]
"""Hands spans over. Raises `ExportError` when it gives up on them."""


class ExportError(Exception):
    """Spans could not be handed over; the text says why."""


class Batches:
    """The queue, and what empties it.

    Args:
        send: Hands spans over.
        most: How many may wait.
        batch: How many are handed over together.
        delay: Seconds that a span waits for others at most.

    Attributes:
        dropped: Spans that were lost.
    """

    def __init__(self, send: Send, most: int, batch: int, delay: float) -> None:
        self.dropped = 0
        self._send = send
        self._most = most
        self._batch = batch
        self._delay = delay
        self._queue: deque[bytes] = deque()
        self._enough = Signal()
        self._failing = False

    def put(self, span: bytes) -> None:
        """Have a span handed over. Never waits."""
        queue = self._queue
        size = len(queue)
        if size >= self._most:
            self._drop(1, "the collector does not keep up")
            return
        queue.append(span)
        if size + 1 == self._batch:
            self._enough.set()

    async def run(self) -> None:
        """Hand spans over until cancelled, which leaves those in the queue for `flush`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tick)
            while True:
                if len(self._queue) < self._batch:
                    await self._enough.wait()
                await self._export()

    async def _tick(self) -> None:
        """Have what is there handed over, every so often.

        A thread waits for that, which ends with this. A deadline would cost every call 1.3 us: as long as the event
        loop has one, the kernel sets a timer each time the loop waits for its sockets.
        """
        ended = threading.Event()
        try:
            while True:
                await anyio.to_thread.run_sync(ended.wait, self._delay, abandon_on_cancel=True)
                self._enough.set()
        finally:
            ended.set()

    async def flush(self) -> None:
        """Hand over what there is. What is not gone when this is cancelled is dropped."""
        try:
            while self._queue:
                await self._export()
        finally:
            left = len(self._queue)
            self._queue.clear()
            self._drop(left, "the program has ended before the collector took them")
            if self.dropped:
                log.warning("%d spans were dropped in all", self.dropped)

    async def _export(self) -> None:
        queue = self._queue
        spans = [queue.popleft() for _ in range(min(self._batch, len(queue)))]
        if not spans:
            return
        gone = False
        try:
            await self._send(spans)
            gone = True
            self._recover()
        except Exception as error:
            gone = True
            if not isinstance(error, ExportError):  # A fault of ours, for which no call shall suffer.
                log.exception("spans could not be handed over")
            self._drop(len(spans), str(error))
        finally:
            if not gone:  # Cancelled: `flush` may try again.
                queue.extendleft(reversed(spans))

    def _drop(self, number: int, reason: str) -> None:
        if not number:
            return
        self.dropped += number
        if not self._failing:
            self._failing = True
            log.warning("spans are dropped: %s", reason)

    def _recover(self) -> None:
        if self._failing and len(self._queue) < self._most:
            self._failing = False
            log.info("spans are taken again; %d were dropped", self.dropped)
