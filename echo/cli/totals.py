"""Metrics of workers: the parent adds up what each has counted.

Counts of a worker that has ended stay in the sum. Otherwise the sum would fall when a worker is replaced, and
Prometheus would take that for a counter reset.
"""

from collections.abc import Awaitable, Callable
from time import time
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from echo.workers import Supervisor

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters
    from echo.telemetry.snapshot import Snapshot

__all__ = ["Totals", "collecting"]

log = structlog.get_logger(__name__)

PATIENCE: Final = 2.0  # Seconds for all workers; a scraper waits for 10.


def collecting(meters: "Meters | None") -> Callable[[], Awaitable[bytes]] | None:
    """A function that encodes a worker's metrics for its parent; None if nobody wants metrics."""
    if meters is None:
        return None
    from echo.telemetry.snapshot import encode  # noqa: PLC0415

    async def collect() -> bytes:
        return encode(await meters.collect())

    return collect


class Totals:
    """The sum of all workers' metrics, including those of workers that have ended."""

    def __init__(self) -> None:
        self._ended: Snapshot | None = None

    def keep(self, data: bytes) -> None:
        """Add the final metrics of a worker that has ended. Raises nothing."""
        if not data:
            return
        from echo.telemetry.snapshot import cumulative, decode, merge  # noqa: PLC0415

        try:
            last = cumulative(decode(data))
            self._ended = last if self._ended is None else merge([self._ended, last])
        except (msgspec.MsgspecError, ValueError):
            log.exception("final metrics of a worker are unreadable")

    async def collect(self, supervisor: Supervisor) -> "Snapshot":
        """The sum as it is now, for `serve_metrics`; without metrics before a worker has reported."""
        from echo.telemetry.snapshot import Snapshot, decode, merge  # noqa: PLC0415

        found = [decode(answer) for answer in await supervisor.ask_all(PATIENCE) if answer]
        if self._ended is not None:
            found.append(self._ended)
        now = time()
        return merge(found) if found else Snapshot((), now, now, [])
