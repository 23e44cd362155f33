"""Logs refused connections, within a rate: a misconfigured proxy may make one for every call."""

import logging
from typing import Final

import anyio

from echo.wire import Budget

BURST: Final = 20  # Lines at once.
PER_SECOND: Final = 0.2  # The sustained rate.


class RefusalLog:
    """Logs each refusal at level INFO, up to a rate, and reports how many it left out."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._budget = Budget(BURST, PER_SECOND)
        self._left_out = 0

    def tell(self, text: str, *values: object) -> None:
        """Log a line, or count it as left out. ``text`` is a format for `logging`; ``values`` must be printable."""
        if not self._budget.spend(anyio.current_time()):
            self._left_out += 1
            return
        if self._left_out:
            text += f" ({self._left_out} more before it were not logged)"
            self._left_out = 0
        self._log.info(text, *values)
