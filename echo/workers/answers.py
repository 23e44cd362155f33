"""What a worker answers when it is asked: pieces put together, within a bound; the latest answer is kept."""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from echo.workers.messages import LAST_WORD, Ask, Part

__all__ = ["MAX_ANSWER", "Answers"]

log = structlog.get_logger(__name__)

MAX_ANSWER: Final = 16 * 1024 * 1024  # Bytes.


class Answers:
    """The answers of one worker.

    Attributes:
        latest: The last one that came whole; None before there is any.
    """

    def __init__(self) -> None:
        self.latest: bytes | None = None
        self._number = LAST_WORD  # Of the last question.
        self._taking: int | None = None  # The answer whose pieces are taken in; others are dropped.
        self._closing = False  # The last word has begun.
        self._parts = bytearray()
        self._over: trio.Event | None = None  # There is while a question is open.
        self._asking = trio.Lock()

    async def ask(self, tell: Callable[[Ask], None]) -> None:
        """Ask, and wait until there is an answer or none can come; cancelling it gives that up.

        A question that is not answered yet is not put again: whoever asks next waits for the same answer. So a worker
        that answers nothing is asked once.
        """
        async with self._asking:
            if self._closing:
                return
            if self._over is None:
                self._number += 1
                self._taking = self._number
                self._parts.clear()
                self._over = trio.Event()
                tell(Ask(self._number))
            await self._over.wait()

    def note(self, part: Part) -> None:
        """Take in a piece."""
        if part.number == LAST_WORD and not self._closing:
            self._closing = True
            self._taking = LAST_WORD
            self._parts.clear()
        if part.number != self._taking:
            return
        self._parts += part.data
        if len(self._parts) > MAX_ANSWER:
            log.warning("a worker's answer is too large", limit=MAX_ANSWER)
            self.end()
        elif part.last:
            self.latest = bytes(self._parts)
            self.end()

    def end(self) -> None:
        """Nobody is to wait any longer."""
        self._taking = None
        self._parts.clear()
        over, self._over = self._over, None
        if over is not None:
            over.set()
