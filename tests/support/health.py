"""Echo's health service, and what its users ask it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import anyio

from echo.pb.grpc.health.v1 import HealthCheckResponseServingStatus, HealthStub
from echo.rpc import Channel, Server
from echo.rpc.health import Health, ServingStatus
from echo.rpc.stubs import bind
from echo.rpc.testing import memory_channel_to
from echo.services import EchoService, StreamingEchoService

UNARY_ECHO = "com.gopay.echo.Server"
STREAMING_ECHO = "com.gopay.echo.streaming.StreamingServer"
UNKNOWN = cast("ServingStatus", HealthCheckResponseServingStatus.UNKNOWN)


def echo_health() -> Health:
    return Health([EchoService(), StreamingEchoService()])


@asynccontextmanager
async def asking(health: Health) -> AsyncIterator[tuple[HealthStub, Channel]]:
    """A client of the health service. At the end, no call may be open."""
    server = Server([health])
    async with memory_channel_to(server) as channel:
        async with bind(HealthStub, channel) as stub:
            yield stub, channel
        await anyio.wait_all_tasks_blocked()
        assert (channel.calls, server.calls) == (0, 0)
