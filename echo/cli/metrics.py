"""Metrics while a program runs: what counts them, the port where Prometheus finds them, and the push by OTLP.

Both go on until the drain is over. The port is a setting of ours, the push is asked for by OpenTelemetry's variables.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog
import trio

from echo.cli.announce import authority
from echo.cli.errors import first, unavailable
from echo.cli.hosts import listening_host
from echo.evidence import INSTANCE
from echo.settings import Settings

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters
    from echo.telemetry.push import Push

__all__ = ["Metrics", "open_metrics"]

log = structlog.get_logger(__name__)


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
    """Show what the program counts at ``/metrics``, and push it, where that is wanted, for the length of the block.

    Raises:
        StartError: The address can't be had.
    """
    push = _push(os.environ)
    if settings.metrics_port is None and push is None:
        yield Metrics()
        return
    # Only who wants metrics loads them.
    from echo.telemetry.meters import Meters  # noqa: PLC0415

    meters, port = Meters(INSTANCE), None
    async with trio.open_nursery() as nursery:
        if settings.metrics_port is not None:
            port = await _show(nursery, settings, meters)
        if push is not None:
            from echo.telemetry.otlp import push_metrics  # noqa: PLC0415

            nursery.start_soon(push_metrics, meters.collect, push.interval, push.timeout)
        yield Metrics(meters, port)
        nursery.cancel_scope.cancel()


async def _show(nursery: trio.Nursery, settings: Settings, meters: "Meters") -> int:
    from echo.telemetry import serve_metrics  # noqa: PLC0415

    bind, port = settings.metrics_bind, settings.metrics_port
    assert port is not None
    try:
        found: int = await nursery.start(serve_metrics, await listening_host(bind), port, meters.collect)
    except (OSError, BaseExceptionGroup) as error:
        fault = first(OSError, error)
        if fault is None:
            raise
        raise unavailable(settings, authority(bind, port), "metrics_bind", "metrics_port", error=fault) from error
    return found


def _push(environ: Mapping[str, str]) -> "Push | None":
    """How to push. What operators have put into the environment of every pod is no reason not to start."""
    if not any(name.startswith("OTEL_") for name in environ):
        return None
    from echo.telemetry.push import PushError, wanted_push  # noqa: PLC0415

    try:
        push = wanted_push(environ)
    except PushError as error:
        log.warning("metrics are not pushed", reason=str(error))
        return None
    if push is not None and not _installed():
        log.warning("metrics are not pushed", reason="the extra 'telemetry' is not installed: echo[telemetry]")
        return None
    return push


def _installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False
