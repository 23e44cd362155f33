"""Metrics while a program runs: what counts them, and the port where Prometheus finds them, until the drain is over."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from echo.cli.announce import authority
from echo.cli.errors import first, unavailable
from echo.cli.hosts import listening_host
from echo.evidence import INSTANCE
from echo.settings import Settings

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters

__all__ = ["Metrics", "open_metrics"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of the program, None for both if nobody wants them.

    Attributes:
        meters: What it counts by.
        port: Where they are shown.
    """

    meters: "Meters | None" = None
    port: int | None = None


@asynccontextmanager
async def open_metrics(settings: Settings) -> AsyncIterator[Metrics]:
    """Show what the program counts at ``/metrics``, if that is wanted, for the length of the block.

    Raises:
        StartError: The address can't be had.
    """
    if settings.metrics_port is None:
        yield Metrics()
        return
    # Only who wants metrics loads them.
    from echo.telemetry import serve_metrics  # noqa: PLC0415
    from echo.telemetry.meters import Meters  # noqa: PLC0415

    meters = Meters(INSTANCE)
    bind, port = settings.metrics_bind, settings.metrics_port
    async with trio.open_nursery() as nursery:
        try:
            found: int = await nursery.start(serve_metrics, await listening_host(bind), port, meters.collect)
        except (OSError, BaseExceptionGroup) as error:
            fault = first(OSError, error)
            if fault is None:
                raise
            raise unavailable(settings, authority(bind, port), "metrics_bind", "metrics_port", error=fault) from error
        yield Metrics(meters, found)
        nursery.cancel_scope.cancel()
