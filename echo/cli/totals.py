"""Metrics of workers: what each has counted, added up by their parent.

What a worker has counted stays in the sum when it has ended. Else the sum would fall whenever one is replaced, and
Prometheus would take that for a new beginning of everything.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from echo.workers import Crew

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters
    from echo.telemetry.snapshot import Snapshot

__all__ = ["Totals", "collecting"]

log = structlog.get_logger(__name__)

PATIENCE: Final = 2.0  # Seconds for all workers; a scraper waits for 10.


def collecting(meters: "Meters | None") -> Callable[[], Awaitable[bytes]] | None:
    """What a worker answers its parent: its snapshot; None if nobody wants metrics."""
    if meters is None:
        return None
    from echo.telemetry.snapshot import encode  # noqa: PLC0415

    async def collect() -> bytes:
        return encode(await meters.collect())

    return collect


class Totals:
    """What all workers of a parent have counted, those that have ended included."""

    def __init__(self) -> None:
        self._ended: Snapshot | None = None

    def keep(self, data: bytes) -> None:
        """Take in what a worker that has ended answered last. Raises nothing."""
        if not data:
            return
        from echo.telemetry.snapshot import cumulative, decode, merge  # noqa: PLC0415

        try:
            last = cumulative(decode(data))
            self._ended = last if self._ended is None else merge([self._ended, last])
        except (msgspec.MsgspecError, ValueError):
            log.exception("the last metrics of a worker are lost")

    async def collect(self, crew: Crew) -> "Snapshot":
        """All of it, for `echo.telemetry.serve_metrics`.

        Raises:
            ValueError: There is nothing yet.
        """
        from echo.telemetry.snapshot import decode, merge  # noqa: PLC0415

        found = [decode(answer) for answer in await crew.ask_all(PATIENCE) if answer]
        return merge(found if self._ended is None else [*found, self._ended])
