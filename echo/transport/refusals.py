"""What the log says of clients that were turned away. A proxy that is set up wrongly may send one with every call."""

import logging
from typing import Final

import anyio

from echo.wire import Budget

BURST: Final = 20  # Lines that may come at once,
PER_SECOND: Final = 0.2  # and how many for ever.


class RefusalLog:
    """Writes one line for each, at level INFO, but no more than a reader can bear, and says how many were left out."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._budget = Budget(BURST, PER_SECOND)
        self._left_out = 0

    def tell(self, text: str, *values: object) -> None:
        """Log a line, or count it; ``text`` is a format as `logging` has it, ``values`` are fit for display."""
        if not self._budget.spend(anyio.current_time()):
            self._left_out += 1
            return
        if self._left_out:
            text += f" ({self._left_out} more before it were not logged)"
            self._left_out = 0
        self._log.info(text, *values)
