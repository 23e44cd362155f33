"""The services that grpcio's own packages have, health and reflection, are served as any others."""

import subprocess
import sys
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from echo.rpc import Server
from echo.rpc.health import Health
from echo.rpc.testing import memory_channel_to
from tests.support.services import Run


def check_and_watch(run: Run, server: Server, set_status: Any) -> None:
    async def main() -> None:
        async with memory_channel_to(server) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="todo.v1.Todos")
            assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
            watch = stub.Watch(request)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            set_status()
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            watch.cancel()
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.Check(health_pb2.HealthCheckRequest(service="nothing"))
            assert raised.value.code() is grpc.StatusCode.NOT_FOUND

    run(main)


def test_health_of_grpcio_s(run: Run) -> None:
    servicer = health.HealthServicer()
    servicer.set("todo.v1.Todos", health_pb2.HealthCheckResponse.SERVING)
    server = Server([])
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    check_and_watch(run, server, servicer.enter_graceful_shutdown)


def test_our_health_of_a_servicer_by_its_name(run: Run) -> None:
    ours = Health(["todo.v1.Todos"])
    check_and_watch(run, Server([ours]), ours.drain)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_reflection_of_grpcio_s(backend: str) -> None:
    # In a process of its own: grpclib's module of the same messages clashes with it.
    source = f"""
import anyio
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc
from echo.rpc import Server
from echo.rpc.testing import memory_channel_to

async def main():
    server = Server([])
    reflection.enable_server_reflection(["todo.v1.Todos", reflection.SERVICE_NAME], server)
    async with memory_channel_to(server) as channel:
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        async for reply in ask([reflection_pb2.ServerReflectionRequest(list_services="")]):
            print(*[service.name for service in reply.list_services_response.service])

anyio.run(main, backend={backend!r})
"""
    done = subprocess.run([sys.executable, "-c", source], check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "grpc.reflection.v1alpha.ServerReflection todo.v1.Todos\n", done.stderr
