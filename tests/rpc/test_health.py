"""Health's Check and List: the current status of each service, on trio and on asyncio."""

import pytest

from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthListRequest, HealthStub
from echo.rpc import GRPCError, Status
from echo.rpc.health import NOT_SERVING, SERVING, ServingStatus
from tests.support.health import STREAMING_ECHO, UNARY_ECHO, UNKNOWN, asking, echo_health
from tests.support.services import on_both_loops


async def status(stub: HealthStub, service: str) -> ServingStatus:
    return (await stub.check(HealthCheckRequest(service))).status


@on_both_loops
async def test_known_services_and_the_server_as_a_whole_are_serving() -> None:
    async with asking(echo_health()) as (stub, _):
        for service in ("", UNARY_ECHO, STREAMING_ECHO):
            assert await status(stub, service) == SERVING


@pytest.mark.parametrize(
    "service", ["no.such.Service", "com.gopay.echo", "com.gopay.echo.Server/GetReply", "é" * 9_000]
)
@on_both_loops
async def test_an_unknown_service_is_not_found(service: str) -> None:
    async with asking(echo_health()) as (stub, _):
        with pytest.raises(GRPCError) as raised:
            await status(stub, service)
        assert raised.value.status is Status.NOT_FOUND
        assert (raised.value.message or "").startswith("unknown service ")


@on_both_loops
async def test_setting_a_status_changes_only_that_service() -> None:
    health = echo_health()
    async with asking(health) as (stub, _):
        health.set(UNARY_ECHO, NOT_SERVING)
        health.set("new.Service", UNKNOWN)
        assert await status(stub, UNARY_ECHO) == NOT_SERVING
        assert await status(stub, "new.Service") == UNKNOWN
        assert await status(stub, STREAMING_ECHO) == SERVING
        assert await status(stub, "") == SERVING


@on_both_loops
async def test_list_gives_every_service_with_its_status() -> None:
    health = echo_health()
    async with asking(health) as (stub, _):
        health.set(STREAMING_ECHO, NOT_SERVING)
        listed = (await stub.list(HealthListRequest())).statuses
        assert {name: response.status for name, response in listed.items()} == {
            "": SERVING,
            UNARY_ECHO: SERVING,
            STREAMING_ECHO: NOT_SERVING,
        }


@on_both_loops
async def test_draining_turns_everything_to_not_serving_for_good() -> None:
    health = echo_health()
    async with asking(health) as (stub, _):
        health.drain()
        health.set(UNARY_ECHO, SERVING)
        health.set("", SERVING)
        health.set("new.Service", SERVING)
        for service in ("", UNARY_ECHO, STREAMING_ECHO):
            assert await status(stub, service) == NOT_SERVING
        with pytest.raises(GRPCError, match=r"new\.Service"):
            await status(stub, "new.Service")
        health.drain()
        assert await status(stub, "") == NOT_SERVING
