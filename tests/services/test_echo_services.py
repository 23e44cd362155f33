"""Everything echo serves, put together."""

import pytest

from echo.pb.com.gopay.echo import Message, Response, ServerStub
from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthListRequest, HealthStub
from echo.rpc import Cardinality, GRPCError, Status
from echo.rpc.health import NOT_SERVING, SERVING
from echo.rpc.stubs import bind
from echo.rpc.testing import memory_channel
from echo.services import echo_services

ECHOES = ["com.gopay.echo.Server", "com.gopay.echo.evidence.Evidence", "com.gopay.echo.streaming.StreamingServer"]


def test_the_services_are_the_echoes_evidence_health_and_reflection() -> None:
    paths = sorted(path for service in echo_services().services for path in service.__mapping__())
    assert paths == [
        "/com.gopay.echo.Server/GetReply",
        "/com.gopay.echo.evidence.Evidence/Get",
        "/com.gopay.echo.evidence.Evidence/Watch",
        "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream",
        "/com.gopay.echo.streaming.StreamingServer/ClientStream",
        "/com.gopay.echo.streaming.StreamingServer/ServerStream",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ]


async def test_the_echoes_their_evidence_and_the_server_as_a_whole_are_serving() -> None:
    async with memory_channel(echo_services().services) as channel, bind(HealthStub, channel) as health:
        listed = (await health.list(HealthListRequest())).statuses
        assert {name: response.status for name, response in listed.items()} == dict.fromkeys(["", *ECHOES], SERVING)


async def test_the_health_to_be_told_of_a_drain_is_the_one_that_is_served() -> None:
    echo = echo_services()
    async with memory_channel(echo.services) as channel, bind(HealthStub, channel) as health:
        echo.health.drain()
        for service in ("", *ECHOES):
            assert (await health.check(HealthCheckRequest(service))).status == NOT_SERVING


async def test_two_servers_of_a_process_have_a_health_each() -> None:
    one, other = echo_services(), echo_services()
    one.health.drain()
    async with memory_channel(other.services) as channel, bind(HealthStub, channel) as health:
        assert (await health.check(HealthCheckRequest(""))).status == SERVING


@pytest.mark.parametrize("path", ["/com.gopay.echo.Server/Nothing", "/no.such.Service/GetReply", "/nonsense"])
async def test_unknown_methods_and_services_are_unimplemented(path: str) -> None:
    async with memory_channel(echo_services().services) as channel:
        with pytest.raises(GRPCError) as raised:
            async with channel.request(path, Cardinality.UNARY_UNARY, Message, Response) as stream:
                await stream.send_message(Message("hi"))
                await stream.recv_message()
        assert raised.value.status is Status.UNIMPLEMENTED
        async with bind(ServerStub, channel) as stub:
            assert (await stub.get_reply(Message("hi"))).success
