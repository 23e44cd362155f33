"""Traces of calls, requests and WebSockets, by OTLP over HTTP; asked for by OpenTelemetry's own variables.

    environment   which variables ask for what; loads nothing of OpenTelemetry
    program       opens it all for the length of a program
    calls         the spans of gRPC calls, served and made         (`echo.rpc.tracing` is what asks for them)
    requests      those of HTTP requests and WebSockets            (`echo.gateway.tracing`)
    recorder      what both have in common; `propagation` and `sampling` are its parts
    protobuf      a span as bytes, of ready-made pieces
    batches       the queue of those, and the task that empties it
    otlp, console where that hands them over

A call that is not sampled costs about two microseconds, one that is some six, encoding and sending included; without
tracing nothing of OpenTelemetry is loaded, and a call costs a few looks at None.
"""

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from echo.configuration import SettingsError
from echo.telemetry.tracing.environment import Wanted, wanted

if TYPE_CHECKING:
    from echo.telemetry.tracing.program import Tracing

__all__ = ["check_tracing", "open_tracing"]

log = logging.getLogger(__name__)


def check_tracing(environ: Mapping[str, str] | None = None) -> Wanted | None:
    """What the environment asks for; None if it does not ask for traces.

    Raises:
        SettingsError: It asks for what there is not, or for what is not installed.
    """
    asked = wanted(os.environ if environ is None else environ)
    if asked is not None and not _installed():
        raise SettingsError(f"{asked.asked_by}: traces need the extra 'telemetry': pip install 'echo-grpc[telemetry]'")
    return asked


def _installed() -> bool:
    try:
        return all(find_spec(f"opentelemetry.{name}") is not None for name in ("trace", "sdk", "proto"))
    except ModuleNotFoundError:
        return False


@asynccontextmanager
async def open_tracing(grace: float) -> "AsyncIterator[Tracing | None]":
    """Trace while the block runs, if the environment asks for it; else give None.

    What it asks for may be impossible, as operators put these variables into the environment of every pod: that is
    logged, and no reason not to start.

    Args:
        grace: Seconds that ending may take; see `echo.telemetry.tracing.program.run`.
    """
    async with AsyncExitStack() as stack:
        try:
            tracing = await _started(stack, grace)
        except SettingsError as error:
            log.warning("there will be no traces: %s", error)
            tracing = None
        yield tracing


async def _started(stack: AsyncExitStack, grace: float) -> "Tracing | None":
    asked = check_tracing()
    if asked is None:
        return None
    from echo.telemetry.tracing.program import run  # noqa: PLC0415 - It loads OpenTelemetry.

    return await stack.enter_async_context(run(asked, grace))
