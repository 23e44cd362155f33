"""``grpc.health.v1.Health``: who serves, told to those who ask and to those who watch.

After gRPC's health checking protocol. The service named "" is the server as a whole.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeAlias, cast

from echo.extras import needs
from echo.rpc.servable import Servable
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
    """The health service; a service among others to the server that serves it.

    A watcher occupies what its stream does and the status it was last told: nothing is queued for it. Nothing here
    waits but `watch` and `drained`, so statuses can be set from any task of the event loop, also while it is being
    cancelled.

    Args:
        services: Those it knows, all SERVING from the start; so is the server as a whole.
    """

    def __init__(self, services: Iterable[Servable]) -> None:
        self._statuses: dict[str, ServingStatus] = {WHOLE_SERVER: SERVING}
        for service in services:
            for path in service.__mapping__():
                self._statuses[path.split("/")[1]] = SERVING
        self._draining = False
        self._changed = Signal()

    def set(self, service: str, status: ServingStatus) -> None:
        """Set a service's status, and tell those who watch it; the service is known from then on.

        Does nothing once draining: what fails or recovers during a drain must not call clients back.
        """
        if not self._draining:
            self._statuses[service] = status
            self._changed.set()

    def drain(self) -> None:
        """All are NOT_SERVING from now on, for good; every watch is told so and ends. A second time changes nothing."""
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._draining = True
        self._changed.set()

    def leave(self) -> None:
        """Every watch ends, as when it drains, but the statuses stay: others serve in the place of this process."""
        self._draining = True
        self._changed.set()

    async def drained(self) -> None:
        """Wait until it drains; for streams of others that would go on for ever."""
        while not self._draining:
            await self._changed.wait()

    async def check(self, health_check_request: HealthCheckRequest) -> HealthCheckResponse:
        """The service's status now.

        Raises:
            GRPCError: NOT_FOUND for one that is unknown.
        """
        status = self._statuses.get(health_check_request.service)
        if status is None:
            raise GRPCError(Status.NOT_FOUND, f"unknown service {health_check_request.service}")
        return HealthCheckResponse(status=status)

    async def watch(self, health_check_request: HealthCheckRequest) -> AsyncIterator[HealthCheckResponse]:
        """The service's status at once and at every change; SERVICE_UNKNOWN while it is unknown.

        A watcher that is slow is told the latest status, not each one in between, and never the same one twice in a
        row. The watch ends with OK when the server drains, after NOT_SERVING (SERVICE_UNKNOWN, if that is what it
        was): it must not hold the drain up. One that begins during the drain is told the same and ends at once.
        """
        told: ServingStatus | None = None
        while True:
            status = self._statuses.get(health_check_request.service, SERVICE_UNKNOWN)
            if status != told:
                told = status
                yield HealthCheckResponse(status=status)
            elif self._draining:
                return
            else:
                # Nothing was awaited since the look at the status, not even a reply's sending, which comes before it:
                # so no change can be missed.
                await self._changed.wait()

    async def list(self, health_list_request: HealthListRequest) -> HealthListResponse:  # noqa: ARG002 - it is empty
        """The status of every service."""
        return HealthListResponse(
            statuses={name: HealthCheckResponse(status=status) for name, status in self._statuses.items()}
        )
