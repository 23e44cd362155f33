"""Plain gRPC on the HTTP port: the client gets an error that says what is wrong."""

import pytest
import trio
from grpc import RpcError, StatusCode, insecure_channel

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, GRPCError, Status, open_channel
from echo.wire import encode_message
from tests.support.gateway import RunningGateway, gateway_to, running_gateway
from tests.support.rpc_over_http import BIDIRECTIONAL, GET_REPLY, HI, call, http1
from tests.support.serving import LOOPBACK


def said_by(gateway: RunningGateway) -> str:
    return "this is the gateway's HTTP port, which serves gRPC-Web, Connect and WebSockets; gRPC is served on port "


async def test_our_client_gets_the_error() -> None:
    async with running_gateway() as gateway, open_channel(LOOPBACK, gateway.port) as channel:
        for _ in range(2):
            with pytest.raises(GRPCError) as raised:
                async with channel.request(GET_REPLY, Cardinality.UNARY_UNARY, Message, Response) as stream:
                    await stream.send_message(Message("hi"), end=True)
                    await stream.recv_message()
            assert raised.value.status is Status.UNIMPLEMENTED
            assert str(raised.value.message).startswith(said_by(gateway))
        with pytest.raises(GRPCError) as raised:
            async with channel.request(BIDIRECTIONAL, Cardinality.STREAM_STREAM, StreamMessage, StreamResponse) as talk:
                for _ in range(100):  # More than waits for a handler that takes nothing.
                    await talk.send_message(StreamMessage(stream_id="a", message="x" * 10_000))
                await talk.recv_message()
        assert raised.value.status is Status.UNIMPLEMENTED


async def test_grpcio_gets_the_error() -> None:
    async with running_gateway() as gateway:

        def call_it() -> RpcError:
            with insecure_channel(f"{LOOPBACK}:{gateway.port}") as channel, pytest.raises(RpcError) as raised:
                channel.unary_unary(GET_REPLY)(HI, timeout=20)
            return raised.value

        error = await trio.to_thread.run_sync(call_it)
        assert error.code() is StatusCode.UNIMPLEMENTED
        assert error.details().startswith(said_by(gateway))


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto"])
async def test_a_proxy_that_speaks_http1_passes_it_on_in_the_headers(content_type: str) -> None:
    async with running_gateway() as gateway, http1(gateway.port) as request:
        response = await call(request, GET_REPLY, content_type, encode_message(HI))
        assert (response.status, response.body) == (200, b"")
        assert response.headers["content-type"] == "application/grpc"
        assert response.grpc_status[0] == Status.UNIMPLEMENTED.value
        assert response.grpc_status[1].startswith(said_by(gateway))


@pytest.mark.parametrize(
    ("servers", "where"),
    [
        ("unix:/run/echo.sock", "a Unix socket"),
        ("127.0.0.1:9000", "port 9000"),
        ("127.0.0.1", "port 8081"),
        ("127.0.0.1:9000,127.0.0.2", "port 8081 or 9000"),
        ("unix:/run/echo.sock,127.0.0.1:9000", "port 9000"),
    ],
)
async def test_it_names_what_the_gateway_calls(servers: str, where: str) -> None:
    async with gateway_to(8081, GRPC_SERVER_HOST=servers) as gateway, http1(gateway.port) as request:
        response = await call(request, GET_REPLY, "application/grpc", encode_message(HI))
        assert response.grpc_status[1].endswith(f"; gRPC is served on {where}")
