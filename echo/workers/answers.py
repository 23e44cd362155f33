"""Assembles a worker's answers from their parts, within a size limit, and keeps the latest."""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from echo.workers.messages import FINAL_ANSWER, AnswerPart, Ask

__all__ = ["MAX_ANSWER", "Answers"]

log = structlog.get_logger(__name__)

MAX_ANSWER: Final = 16 * 1024 * 1024  # Bytes.


class Answers:
    """The answers of one worker.

    Attributes:
        latest: The last complete answer; None before the first.
    """

    def __init__(self) -> None:
        self.latest: bytes | None = None
        self._number = FINAL_ANSWER  # Of the last question.
        self._assembling: int | None = None  # The number of the answer being assembled; other parts are dropped.
        self._final = False  # The final answer has begun.
        self._parts = bytearray()
        self._settled: trio.Event | None = None  # Set when the open question, if any, is answered or given up.
        self._asking = trio.Lock()

    async def ask(self, send: Callable[[Ask], None]) -> None:
        """Ask, and wait until the answer has come or cannot come any more; cancelling only stops waiting.

        While a question is open it is not repeated: later callers wait for the same answer. So a worker that never
        answers is asked once.
        """
        async with self._asking:
            if self._final:
                return
            if self._settled is None:
                self._number += 1
                self._assembling = self._number
                self._settled = trio.Event()
                send(Ask(self._number))
            await self._settled.wait()

    def add(self, part: AnswerPart) -> None:
        """Add a part that has arrived."""
        if part.number == FINAL_ANSWER and not self._final:
            self._final = True
            self._assembling = FINAL_ANSWER
            self._parts.clear()
        if part.number != self._assembling:
            return
        self._parts += part.data
        if len(self._parts) > MAX_ANSWER:
            log.warning("a worker's answer is too large", limit=MAX_ANSWER)
            self.end()
        elif part.last:
            self.latest = bytes(self._parts)
            self.end()

    def end(self) -> None:
        """Drop what is incomplete, and wake the tasks that wait for it."""
        self._assembling = None
        self._parts.clear()
        settled, self._settled = self._settled, None
        if settled is not None:
            settled.set()
