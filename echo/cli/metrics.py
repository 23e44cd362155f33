"""Metrics of a running program: the meters, the port that Prometheus scrapes, and the push by OTLP.

Port and push work until the drain is over. The port is a setting of ours; OpenTelemetry's variables ask for the push.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
import trio

from echo.cli.errors import StartError, first, unavailable
from echo.cli.hosts import listening_host
from echo.evidence import INSTANCE
from echo.extras import installed
from echo.settings import Settings, SettingsError
from echo.targets import join
from echo.workers import WorkerExitedError

if TYPE_CHECKING:
    from echo.telemetry.endpoint import Collect
    from echo.telemetry.meters import Meters
    from echo.telemetry.push import Push

__all__ = ["Metrics", "new_meters", "open_metrics", "publish_metrics"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of a program.

    Attributes:
        meters: The program's meters; None if nobody wants metrics.
        port: The port that serves them, if one does.
    """

    meters: "Meters | None" = None
    port: int | None = None


@asynccontextmanager
async def open_metrics(settings: Settings) -> AsyncIterator[Metrics]:
    """Meter this process and publish the metrics while the block runs, if the settings or the environment ask for it.

    Raises:
        StartError: The port can't be listened on.
    """
    meters = new_meters(settings)
    if meters is None:
        yield Metrics()
        return
    async with publish_metrics(settings, meters.collect) as port:
        yield Metrics(meters, port)


def new_meters(settings: Settings) -> "Meters | None":
    """The meters of this process; None, without loading their modules, if nobody wants metrics."""
    if settings.metrics_port is None and _push(os.environ, warn=log.warning) is None:
        return None
    from echo.telemetry.meters import Meters  # noqa: PLC0415

    return Meters(INSTANCE)


@asynccontextmanager
async def publish_metrics(settings: Settings, collect: "Collect") -> AsyncIterator[int | None]:
    """Serve what ``collect`` returns at ``/metrics``, and push it, while the block runs, where either is asked for.

    Yields the port of ``/metrics``, or None. ``collect`` may cover other processes too. If the block fails to start the
    program, nothing has been counted and the error is what there is to say: it does not wait for a last push.

    Raises:
        StartError: The port can't be listened on.
    """
    push = _push(os.environ, warn=log.debug)  # `new_meters` has warned already.
    started = True
    async with trio.open_nursery() as nursery:
        port = None if settings.metrics_port is None else await _serve_page(nursery, settings, collect)
        if push is not None:
            from echo.telemetry.otlp import push_metrics  # noqa: PLC0415

            nursery.start_soon(push_metrics, collect, push.interval, push.timeout, lambda: started)
        try:
            yield port
        except BaseException as error:
            started = first((StartError, SettingsError, WorkerExitedError), error) is None
            raise
        nursery.cancel_scope.cancel()


async def _serve_page(nursery: trio.Nursery, settings: Settings, collect: "Collect") -> int:
    from echo.telemetry.endpoint import serve_metrics  # noqa: PLC0415

    bind, port = settings.metrics_bind, settings.metrics_port
    assert port is not None
    try:
        found: int = await nursery.start(serve_metrics, await listening_host(bind), port, collect)
    except (OSError, BaseExceptionGroup) as error:
        fault = first(OSError, error)
        if fault is None:
            raise
        raise unavailable(settings, join(bind, port), "metrics_bind", "metrics_port", error=fault) from error
    return found


def _push(environ: Mapping[str, str], warn: Callable[..., object]) -> "Push | None":
    """How to push, if OTEL_... variables ask for it. Operators set these for every pod, so a bad one only warns."""
    if not any(name.startswith("OTEL_") for name in environ):
        return None
    from echo.telemetry.push import wanted_push  # noqa: PLC0415

    try:
        push = wanted_push(environ)
    except SettingsError as error:
        warn("metrics are not pushed", reason=str(error))
        return None
    if push is not None and not installed("opentelemetry.exporter.otlp.proto.http"):
        warn("metrics are not pushed", reason="they need an extra: pip install 'echo-grpc[telemetry]'")
        return None
    return push
