"""Spans on their way out: a bounded queue, and the one task that empties it.

Whoever ends a span puts what it says here and goes on; that never waits. Spans are encoded a few at a time, so that the
code for it is warm and no call waits long for it, and are kept as bytes: objects that wait here would have Python
collect garbage more often. With a collector that is slow, or down, the queue fills up, and what comes on top is dropped
and counted. The log says so when it begins, and when it is over.
"""

import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import anyio
import anyio.to_thread

from echo.transport import Signal

__all__ = ["Batches", "ExportError", "Send"]

log = logging.getLogger(__name__)

T = TypeVar("T")

GROUP: Final = 64  # Spans that are encoded together.

Send: TypeAlias = Callable[[Sequence[bytes]], Awaitable[None]]
"""Hands over groups of spans, each encoded. Raises `ExportError` when it gives up on them."""


class ExportError(Exception):
    """Spans could not be handed over; the text says why."""


class Batches(Generic[T]):
    """The queue, and what empties it.

    Args:
        send: Hands spans over.
        encode: Makes bytes of some of them.
        most: How many may wait.
        batch: How many are handed over together.
        delay: Seconds that a span waits for others at most.

    Attributes:
        dropped: Spans that were lost.
    """

    def __init__(self, send: Send, encode: Callable[[Sequence[T]], bytes], most: int, batch: int, delay: float) -> None:
        self.dropped = 0
        self._send = send
        self._encode = encode
        self._most = most
        self._batch = batch
        self._delay = delay
        self._group = min(GROUP, batch)
        self._fresh: list[T] = []
        self._limit = self._group  # How many may be fresh.
        self._queue: deque[tuple[int, bytes]] = deque()  # Groups, and how many spans each holds.
        self._queued = 0  # Spans in them.
        self._enough = Signal()
        self._failing = False

    def put(self, span: T) -> None:
        """Have a span handed over. Never waits."""
        fresh = self._fresh
        fresh.append(span)
        if len(fresh) >= self._limit:
            self._pack()

    def _pack(self) -> None:
        """Encode those that are fresh, as many as there is room for."""
        room = self._most - self._queued
        spans, self._fresh = self._fresh, []
        if len(spans) > room:
            self._drop(len(spans) - room, "the collector does not keep up")
            del spans[room:]
        if spans:
            try:
                encoded = self._encode(spans)
            except Exception:  # A fault of ours, for which no call shall suffer.
                log.exception("spans could not be encoded")
                self._drop(len(spans), "they could not be encoded")
            else:
                self._queue.append((len(spans), encoded))
                self._count(len(spans))

    def _count(self, more: int) -> None:
        self._queued += more
        self._limit = min(self._group, self._most - self._queued)
        if self._queued >= self._batch:
            self._enough.set()

    async def run(self) -> None:
        """Hand spans over until cancelled, which leaves those in the queue for `flush`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tick)
            while True:
                if self._queued < self._batch:
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
            while self._queue or self._fresh:
                await self._export()
        finally:
            left = self._queued + len(self._fresh)
            self._queue.clear()
            self._fresh.clear()
            self._count(-self._queued)
            self._drop(left, "the program has ended before the collector took them")
            if self.dropped:
                log.warning("%d spans were dropped in all", self.dropped)

    async def _export(self) -> None:
        if self._fresh and self._queued < self._batch:
            self._pack()
        number = 0
        groups: list[tuple[int, bytes]] = []
        while self._queue and (not groups or number + self._queue[0][0] <= self._batch):
            group = self._queue.popleft()
            groups.append(group)
            number += group[0]
        if not groups:
            return
        self._count(-number)
        gone = False
        try:
            await self._send([encoded for _, encoded in groups])
            gone = True
            self._recover()
        except Exception as error:
            gone = True
            if not isinstance(error, ExportError):  # A fault of ours, for which no call shall suffer.
                log.exception("spans could not be handed over")
            self._drop(number, str(error))
        finally:
            if not gone:  # Cancelled: `flush` may try again.
                self._queue.extendleft(reversed(groups))
                self._count(number)

    def _drop(self, number: int, reason: str) -> None:
        if not number:
            return
        self.dropped += number
        if not self._failing:
            self._failing = True
            log.warning("spans are dropped: %s", reason)

    def _recover(self) -> None:
        if self._failing and self._queued < self._most:
            self._failing = False
            log.info("spans are taken again; %d were dropped", self.dropped)
