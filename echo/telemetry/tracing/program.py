"""Tracing for the lifetime of a program. Importing this module loads OpenTelemetry's API and SDK."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import anyio
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, OTELResourceDetector, Resource

from echo.evidence import INSTANCE
from echo.logs import show_trace_ids
from echo.telemetry.tracing.batches import Batches, Send
from echo.telemetry.tracing.environment import TracingSettings
from echo.telemetry.tracing.made import MadeCalls
from echo.telemetry.tracing.propagation import Propagation
from echo.telemetry.tracing.protobuf import resource
from echo.telemetry.tracing.recorder import Recorder
from echo.telemetry.tracing.sampling import Sampling
from echo.telemetry.tracing.served import ServedCalls
from echo.telemetry.tracing.span import current_ids
from echo.telemetry.tracing.spans import encode

if TYPE_CHECKING:
    from echo.telemetry.tracing.requests import Requests

__all__ = ["Tracing", "run"]

SERVICE: Final = "echo-grpc"  # The service's name, unless the environment gives another.
FLUSH: Final = 2.0  # Seconds that exporting the remaining spans may take at the end.


class Tracing:
    """Traces everything that a program does.

    Attributes:
        server: Traces the calls of a `Server`.
        channel: Traces the calls made on a channel.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.server = ServedCalls(recorder)
        self.channel = MadeCalls(recorder)
        self._recorder = recorder

    @cached_property
    def gateway(self) -> "Requests":
        """Traces the requests of a gateway, and the calls that it makes for them."""
        # Only a gateway loads the web server.
        from echo.telemetry.tracing.requests import Requests  # noqa: PLC0415

        return Requests(self._recorder, self.channel)


@asynccontextmanager
async def run(settings: TracingSettings, grace: float, send: Send | None = None) -> AsyncIterator[Tracing]:
    """Trace while the block runs.

    When the block ends, the remaining spans are exported, for at most `FLUSH` seconds and no longer than ``grace``. If
    it ends by an exception or is cancelled, they are dropped at once.

    Args:
        settings: The settings from the environment.
        grace: Seconds that shutting down may take.
        send: Exports spans instead of what ``settings`` asks for; used by tests.

    Raises:
        SettingsError: A certificate cannot be used.
    """
    common = describe()
    close = None
    if send is None and settings.collector is not None:
        from echo.telemetry.tracing.otlp import Collector  # noqa: PLC0415 - Not needed for standard output.

        collector = Collector(settings.collector, common)
        send, close = collector.send, collector.close
    elif send is None:
        from echo.telemetry.tracing.console import show as send  # noqa: PLC0415
    assert send is not None
    batches = Batches(send, encode, settings.most, settings.batch, settings.delay)
    recorder = Recorder(batches, Sampling(settings.sampler), Propagation(settings.propagators))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(batches.run)
            with show_trace_ids(current_ids):
                yield Tracing(recorder)
            batches.stop()
            tasks.cancel_scope.deadline = until = anyio.current_time() + min(FLUSH, grace)
        with anyio.CancelScope(deadline=until):
            await batches.flush()
    finally:
        if close is not None:
            await close()


def describe() -> tuple[bytes, bytes]:
    """What all spans of this process have in common: its name, and the attributes in ``OTEL_RESOURCE_ATTRIBUTES``."""
    given = OTELResourceDetector().detect().attributes
    own = {SERVICE_NAME: SERVICE, SERVICE_INSTANCE_ID: INSTANCE}
    for name in own.keys() & given.keys():
        del own[name]
    found = Resource.create(own).attributes
    attributes = {key: value for key, value in found.items() if isinstance(value, str | int | float)}
    return resource(attributes, "echo", version("echo-grpc"))
