"""Traces of calls, requests and WebSockets, sent by OTLP over HTTP. OpenTelemetry's own variables enable them.

    environment   reads the variables, without loading OpenTelemetry
    program       sets everything up for the lifetime of a program
    served, made  spans of gRPC calls                              (used through `echo.rpc.tracing`)
    methods       what the spans of a method's calls have in common
    requests      spans of HTTP requests and WebSockets            (used through `echo.gateway.tracing`)
    recorder      begins spans; uses `propagation` and `sampling`
    span          a span, and which one is current
    together      records the spans of served calls, dozens at a time
    spans         encodes other spans that have ended
    protobuf      encodes spans from prepared pieces
    columns       copies ids and times of many spans at once
    batches       the queue of spans, and the task that exports them
    otlp, console export to a collector, and to standard output
    certificates  TLS to a collector

``python -m tests.bench --only telemetry`` measures what tracing costs. Without tracing, OpenTelemetry is not loaded,
and a call only costs a few checks for None.
"""

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from echo.configuration import SettingsError
from echo.extras import installed
from echo.telemetry.tracing.environment import TracingSettings, read_environment

if TYPE_CHECKING:
    from echo.telemetry.tracing.program import Tracing

__all__ = ["check_tracing", "open_tracing"]

log = logging.getLogger(__name__)


def check_tracing(environ: Mapping[str, str] | None = None) -> TracingSettings | None:
    """The settings from the environment; None if it does not enable traces.

    Raises:
        SettingsError: A value is not supported, or the extra ``telemetry`` is not installed.
    """
    settings = read_environment(os.environ if environ is None else environ)
    if settings is not None and not installed("opentelemetry.trace", "opentelemetry.sdk", "opentelemetry.proto"):
        raise SettingsError(
            f"{settings.enabled_by}: traces need the extra 'telemetry': pip install 'echo-grpc[telemetry]'"
        )
    return settings


@asynccontextmanager
async def open_tracing(grace: float) -> "AsyncIterator[Tracing | None]":
    """Trace while the block runs, if the environment enables it; otherwise give None.

    A setting that cannot be used is logged, but does not keep the program from starting: operators often set these
    variables for every pod.

    Args:
        grace: Seconds that shutting down may take; see `echo.telemetry.tracing.program.run`.
    """
    async with AsyncExitStack() as stack:
        try:
            tracing = await _started(stack, grace)
        except SettingsError as error:
            log.warning("there will be no traces: %s", error)
            tracing = None
        yield tracing


async def _started(stack: AsyncExitStack, grace: float) -> "Tracing | None":
    settings = check_tracing()
    if settings is None:
        return None
    from echo.telemetry.tracing.program import run  # noqa: PLC0415 - It loads OpenTelemetry.

    return await stack.enter_async_context(run(settings, grace))
