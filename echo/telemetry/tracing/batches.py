"""The export of spans: a bounded queue, and the one task that empties it.

Putting a span in the queue never waits. Spans are encoded a few at a time: the code stays warm, and no call is held up
for long. They are kept as bytes, because live objects would make Python's garbage collector run more often. If the
collector is slow or down, the queue fills up; further spans are dropped and counted. The log says when that begins and
when it is over.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeAlias, TypeVar

import anyio

from echo.transport import Signal

__all__ = ["Batches", "ExportError", "Send"]

log = logging.getLogger(__name__)

T = TypeVar("T")

GROUP: Final = 128  # Spans that are encoded together; see `echo.rpc.register.FULL`.

Send: TypeAlias = Callable[[Sequence[bytes]], Awaitable[None]]
"""Exports groups of encoded spans. Raises `ExportError` when it gives up."""


class ExportError(Exception):
    """Spans could not be exported; the text says why.

    Attributes:
        number: How many; None for all of them.
    """

    def __init__(self, reason: str, number: int | None = None) -> None:
        super().__init__(reason)
        self.number = number


class Batches(Generic[T]):
    """The queue of spans and their export.

    Args:
        send: Exports spans.
        encode: Encodes a group of spans.
        most: The maximum number of spans in the queue.
        batch: The number of spans that are exported together.
        delay: The longest time in seconds that a span waits for others.

    Attributes:
        dropped: The number of spans that were dropped.
        group: The largest number of spans that are encoded together.
        collect: Called before spans that wait for others are exported, to put more of them in the queue.
    """

    def __init__(self, send: Send, encode: Callable[[Sequence[T]], bytes], most: int, batch: int, delay: float) -> None:
        self.dropped = 0
        self._send = send
        self._encode = encode
        self._most = most
        self._batch = batch
        self._delay = delay
        self.group = min(GROUP, batch)
        # The number of queued spans at which they are exported: a batch, or fewer if another group might not fit then.
        self._due = max(1, min(batch, most - self.group + 1))
        self.collect: Callable[[], None] = _nothing
        self._fresh: list[T] = []
        self._limit = self.group  # The number of spans in `_fresh` at which they are encoded.
        self._queue: deque[tuple[int, bytes]] = deque()  # Encoded groups, each with its number of spans.
        self._queued = 0  # The number of spans in these groups.
        self._enough = Signal()
        self._failing = False
        self._stopping = False

    def put(self, span: T) -> None:
        """Queue a span for export. Never waits."""
        fresh = self._fresh
        fresh.append(span)
        if len(fresh) >= self._limit:
            self._pack()

    def put_group(self, number: int, encode: Callable[[], bytes]) -> None:
        """Queue a group of at most `group` spans, which ``encode`` encodes. Never waits."""
        if number > self._most - self._queued:
            self._drop(number, "the collector does not keep up")
        else:
            self._queue_encoded(number, encode)

    def _pack(self) -> None:
        """Encode the fresh spans, as many as the queue has room for."""
        room = max(0, self._most - self._queued)  # An export that was cancelled may have filled it beyond that.
        spans, self._fresh = self._fresh, []
        if len(spans) > room:
            self._drop(len(spans) - room, "the collector does not keep up")
            del spans[room:]
        if spans:
            self._queue_encoded(len(spans), partial(self._encode, spans))

    def _queue_encoded(self, number: int, encode: Callable[[], bytes]) -> None:
        try:
            encoded = encode()
        except Exception:  # A fault of ours, which must not affect any call.
            log.exception("spans could not be encoded")
            self._drop(number, "they could not be encoded")
        else:
            self._queue.append((number, encoded))
            self._count(number)

    def _count(self, more: int) -> None:
        self._queued += more
        self._limit = min(self.group, self._most - self._queued)
        if self._queued >= self._due:
            self._enough.set()

    async def run(self) -> None:
        """Export spans until stopped or cancelled. What is still in the queue then is left to `flush`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tick)
            while not self._stopping:
                if self._queued < self._due:
                    await self._enough.wait()
                if not self._stopping:
                    await self._export()
            tasks.cancel_scope.cancel()

    def stop(self) -> None:
        """Let `run` return when the export in progress has ended: were it cancelled, its spans would be sent twice."""
        self._stopping = True
        self._enough.set()

    async def _tick(self) -> None:
        """Export the spans at hand at regular intervals."""
        while True:
            await anyio.sleep(self._delay)
            self._enough.set()

    async def flush(self) -> None:
        """Export all spans. If this is cancelled, the rest is dropped."""
        try:
            self.collect()
            while self._queue or self._fresh:
                await self._export()
                self.collect()
        finally:
            left = self._queued + len(self._fresh)
            self._queue.clear()
            self._fresh.clear()
            self._count(-self._queued)
            self._drop(left, "the program ended before they were sent")
            if self.dropped:
                log.warning("%d spans were dropped in all", self.dropped)

    async def _export(self) -> None:
        if self._queued < self._due:
            self.collect()
            if self._fresh:
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
        finished = False
        try:
            await self._send([encoded for _, encoded in groups])
            finished = True
            self._recover()
        except ExportError as error:
            finished = True
            self._drop(number if error.number is None else min(error.number, number), str(error))
        except Exception as error:  # A fault of ours, which must not affect any call.
            finished = True
            log.exception("spans could not be exported")
            self._drop(number, str(error))
        finally:
            if not finished:  # Cancelled: `flush` may try again.
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
            log.info("the collector accepts spans again; %d were dropped", self.dropped)


def _nothing() -> None:
    """There is nothing to collect."""
