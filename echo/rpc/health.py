"""``grpc.health.v1.Health``: the status of each service, for clients that check it and clients that watch it.

Implements gRPC's health checking protocol. The service named "" is the server as a whole.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeAlias, cast

from echo.extras import needs
from echo.rpc.servable import Servable, names_of
from echo.transport import Signal
from echo.wire import GRPCError, Status

with needs("betterproto", part="echo.rpc.health"):
    from echo.pb.grpc.health.v1 import (
        HealthBase,
        HealthCheckRequest,
        HealthCheckResponse,
        HealthCheckResponseServingStatus,
        HealthListRequest,
        HealthListResponse,
    )

ServingStatus: TypeAlias = HealthCheckResponseServingStatus

WHOLE_SERVER: Final = ""

# betterproto's enumerations look like plain numbers to a type checker.
SERVING: Final = cast("ServingStatus", ServingStatus.SERVING)
NOT_SERVING: Final = cast("ServingStatus", ServingStatus.NOT_SERVING)
SERVICE_UNKNOWN: Final = cast("ServingStatus", ServingStatus.SERVICE_UNKNOWN)


class Health(HealthBase):
    """The health service, which a server serves like any other.

    A watcher takes only its stream and the last status sent to it; nothing is queued. Only `watch` and `drained` wait,
    so any task of the event loop can set a status, even while being cancelled.

    Args:
        services: The services it knows, or their names. All of them, and the server as a whole, start as SERVING.
    """

    def __init__(self, services: Iterable[Servable | str]) -> None:
        self._statuses: dict[str, ServingStatus] = dict.fromkeys([WHOLE_SERVER, *names_of(services)], SERVING)
        self._draining = False
        self._changed = Signal()

    def set(self, service: str, status: ServingStatus) -> None:
        """Set a service's status and notify its watchers; the service is known from then on.

        In a worker thread, call it by ``anyio.from_thread.run_sync(health.set, service, status)``.

        Does nothing while draining: a service that recovers during a drain must not bring clients back.

        Raises:
            TypeError: It is no status, but perhaps the name of one.
        """
        if not isinstance(status, int):
            raise TypeError(f"the status is SERVING or NOT_SERVING of echo.rpc.health, not {status!r}")
        if not self._draining:
            self._statuses[service] = status
            self._changed.set()

    def drain(self) -> None:
        """Set every service to NOT_SERVING for good; watches send that and end. A second call changes nothing."""
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._draining = True
        self._changed.set()

    def leave(self) -> None:
        """End every watch as in a drain, but keep the statuses: other processes serve instead of this one."""
        self._draining = True
        self._changed.set()

    async def drained(self) -> None:
        """Wait until draining begins; for other services' endless streams."""
        while not self._draining:
            await self._changed.wait()

    async def check(self, health_check_request: HealthCheckRequest) -> HealthCheckResponse:
        """The service's current status.

        Raises:
            GRPCError: NOT_FOUND: the service is unknown.
        """
        status = self._statuses.get(health_check_request.service)
        if status is None:
            raise GRPCError(Status.NOT_FOUND, f"unknown service {health_check_request.service}")
        return HealthCheckResponse(status=status)

    async def watch(self, health_check_request: HealthCheckRequest) -> AsyncIterator[HealthCheckResponse]:
        """Send the service's status at once and at every change; SERVICE_UNKNOWN while it is unknown.

        A slow watcher gets the latest status, not every one in between, and never the same one twice in a row. When
        the server drains, the watch sends NOT_SERVING (or stays at SERVICE_UNKNOWN) and ends with OK, so that it does
        not delay the drain. A watch that starts during the drain does the same at once.
        """
        sent: ServingStatus | None = None
        while True:
            status = self._statuses.get(health_check_request.service, SERVICE_UNKNOWN)
            if status != sent:
                sent = status
                yield HealthCheckResponse(status=status)
            elif self._draining:
                return
            else:
                # Nothing was awaited since the status was read; sending the reply came before. So no change is missed.
                await self._changed.wait()

    async def list(self, health_list_request: HealthListRequest) -> HealthListResponse:  # noqa: ARG002 - always empty
        """The status of every service."""
        return HealthListResponse(
            statuses={name: HealthCheckResponse(status=status) for name, status in self._statuses.items()}
        )
