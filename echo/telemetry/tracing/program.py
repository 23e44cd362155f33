"""Tracing for the length of a program, by OpenTelemetry's API and SDK, which are loaded here if anywhere."""

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
from echo.telemetry.tracing.calls import MadeCalls, ServedCalls
from echo.telemetry.tracing.environment import Wanted
from echo.telemetry.tracing.propagation import Propagation
from echo.telemetry.tracing.protobuf import resource
from echo.telemetry.tracing.recorder import Recorder, current_ids
from echo.telemetry.tracing.sampling import Sampling
from echo.telemetry.tracing.spans import encode

if TYPE_CHECKING:
    from echo.telemetry.tracing.requests import Requests

__all__ = ["Tracing", "run"]

SERVICE: Final = "echo-grpc"  # Its name, where the environment gives none.
FLUSH: Final = 2.0  # Seconds that the spans left at the end may take.


class Tracing:
    """What traces.

    Attributes:
        server: The calls of a `Server`.
        channel: The calls made on a channel.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.server = ServedCalls(recorder)
        self.channel = MadeCalls(recorder)
        self._recorder = recorder

    @cached_property
    def gateway(self) -> "Requests":
        """The requests of a gateway, and the calls it makes for them."""
        # Only who runs a gateway loads the web server.
        from echo.telemetry.tracing.requests import Requests  # noqa: PLC0415

        return Requests(self._recorder, self.channel)


@asynccontextmanager
async def run(asked: Wanted, grace: float, send: Send | None = None) -> AsyncIterator[Tracing]:
    """Trace while the block runs.

    Leaving it takes `FLUSH` seconds at most, and no more than ``grace``, to hand over what is left. Leaving it by an
    exception, or cancelled, takes no time and drops that.

    Args:
        asked: By the environment.
        grace: Seconds that ending may take.
        send: Where spans go, for tests; by default where ``asked`` says.

    Raises:
        SettingsError: A certificate can't be used.
    """
    common = describe()
    close = None
    if send is None and asked.collection is not None:
        from echo.telemetry.tracing.otlp import Collector  # noqa: PLC0415 - Nor this where nothing is sent.

        collector = Collector(asked.collection, common)
        send, close = collector.send, collector.close
    elif send is None:
        from echo.telemetry.tracing.console import show as send  # noqa: PLC0415
    assert send is not None
    batches = Batches(send, encode, asked.most, asked.batch, asked.delay)
    recorder = Recorder(batches, Sampling(asked.sampler), Propagation(asked.propagators))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(batches.run)
            with show_trace_ids(current_ids):
                yield Tracing(recorder)
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(min(FLUSH, grace)):
            await batches.flush()
    finally:
        if close is not None:
            await close()


def describe() -> tuple[bytes, bytes]:
    """What all spans of this process have in common: its name, and what ``OTEL_RESOURCE_ATTRIBUTES`` adds."""
    given = OTELResourceDetector().detect().attributes
    own = {SERVICE_NAME: SERVICE, SERVICE_INSTANCE_ID: INSTANCE}
    for name in own.keys() & given.keys():
        del own[name]
    found = Resource.create(own).attributes
    attributes = {key: value for key, value in found.items() if isinstance(value, str | int | float)}
    return resource(attributes, "echo", version("echo-grpc"))
