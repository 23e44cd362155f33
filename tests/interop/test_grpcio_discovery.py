"""A stock grpcio client finds out what our server serves and whether it is healthy: reflection and health."""

import json
import sys
from functools import partial
from pathlib import Path

import grpc
import pytest
import trio
import trio.testing
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpclib.reflection.v1 import reflection_pb2 as reflection_v1

from echo.rpc.health import NOT_SERVING
from tests.support.grpcio import PATIENCE, Dynamic, grpcio_client, in_thread
from tests.support.ours import our_server
from tests.support.serving import LOOPBACK

SERVING = health_pb2.HealthCheckResponse.SERVING


async def test_the_stock_health_client_is_told_who_serves() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        stub = HealthStub(client.channel)
        check = partial(in_thread, stub.Check, timeout=PATIENCE)
        names = [
            "",
            *(f"com.gopay.echo.{name}" for name in ("Server", "evidence.Evidence", "streaming.StreamingServer")),
        ]
        for name in names:
            assert (await check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
        with pytest.raises(grpc.RpcError) as raised:
            await check(health_pb2.HealthCheckRequest(service="no.such.Service"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        listed = await in_thread(stub.List, health_pb2.HealthListRequest(), timeout=PATIENCE)
        assert {name: response.status for name, response in listed.statuses.items()} == dict.fromkeys(names, SERVING)


async def test_the_stock_health_client_watches_every_change_to_the_end() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        watch = HealthStub(client.channel).Watch
        known = watch(health_pb2.HealthCheckRequest(service="com.gopay.echo.Server"), timeout=PATIENCE)
        unknown = watch(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=PATIENCE)
        assert (await in_thread(next, known)).status == SERVING
        assert (await in_thread(next, unknown)).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        ours.health.set("no.such.Service", NOT_SERVING)
        assert (await in_thread(next, unknown)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        ours.health.drain()
        answers: list[Dynamic] = await in_thread(list, known)
        assert [answer.status for answer in answers] == [health_pb2.HealthCheckResponse.NOT_SERVING]
        assert known.code() is grpc.StatusCode.OK


async def test_a_client_that_knows_only_the_address_finds_its_way_by_reflection() -> None:
    async with our_server(descriptors=False) as ours:
        script = Path(__file__).with_name("reflecting_client.py")
        with trio.fail_after(60):
            done = await trio.run_process([sys.executable, str(script), f"{LOOPBACK}:{ours.port}"], capture_stdout=True)
        told = json.loads(done.stdout)
        assert told["reply"] == "from server:reflected"
        assert told["services"] == {
            "com.gopay.echo.Server": ["GetReply"],
            "com.gopay.echo.evidence.Evidence": ["Get", "Watch"],
            "com.gopay.echo.streaming.StreamingServer": ["ClientStream", "ServerStream", "BidirectionalStream"],
            "grpc.health.v1.Health": ["Check", "Watch", "List"],
            "grpc.reflection.v1.ServerReflection": ["ServerReflectionInfo"],
            "grpc.reflection.v1alpha.ServerReflection": ["ServerReflectionInfo"],
        }


async def test_reflection_v1_tells_services_and_their_files() -> None:
    requests = [
        reflection_v1.ServerReflectionRequest(list_services="*"),
        reflection_v1.ServerReflectionRequest(file_containing_symbol="com.gopay.echo.Server"),
        reflection_v1.ServerReflectionRequest(file_containing_symbol="no.such.Symbol"),
    ]
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        info = client.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            reflection_v1.ServerReflectionRequest.SerializeToString,
            reflection_v1.ServerReflectionResponse.FromString,
        )
        answers: list[Dynamic] = await in_thread(lambda: list(info(iter(requests), timeout=PATIENCE)))
        listed, file, missing = answers
        assert "com.gopay.echo.Server" in [service.name for service in listed.list_services_response.service]
        (descriptor,) = file.file_descriptor_response.file_descriptor_proto
        assert b"GetReply" in descriptor
        assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
