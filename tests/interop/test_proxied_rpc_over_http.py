"""gRPC-Web and Connect through nginx, haproxy and envoy, and gRPC that such a proxy sends to the wrong port."""

from pathlib import Path

import pytest

from echo.pb.com.gopay.echo import Message, Response
from echo.rpc import Cardinality, GRPCError, Status, open_channel
from echo.wire import encode_message
from tests.support.gateway import running_gateway
from tests.support.leaks import settles
from tests.support.proxies import EACH_PROXY, proxied
from tests.support.proxy_configs import Front
from tests.support.rpc_over_http import (
    CONNECT_STREAM,
    GET_REPLY,
    HI,
    REPLY,
    STREAMING,
    WEB,
    WEB_TEXT,
    call,
    http1,
    message,
    streamed,
)
from tests.support.serving import LOOPBACK
from tests.support.streams import Patient

pytestmark = EACH_PROXY


async def test_calls_and_errors(make: str, tmp_path: Path) -> None:
    async with (
        running_gateway() as gateway,
        proxied(make, Front((gateway.port,), websockets=True), tmp_path) as proxy,
    ):
        for form in (WEB, WEB_TEXT, CONNECT_STREAM):
            async with http1(proxy.port) as request:
                assert (await streamed(request, GET_REPLY, form, [HI])).messages == [REPLY]
            async with http1(proxy.port) as request:
                response = await streamed(request, f"{STREAMING}/ClientStream", form, [message(), b""])
                assert b"stream_id" in (response.last or response.headers["grpc-message"].encode())
        async with http1(proxy.port) as request:
            response = await call(request, GET_REPLY, "application/json", b'{"message":"hi"}')
            assert response.json == {"success": True, "response": "from server:hi"}


@pytest.mark.parametrize("form", [WEB, CONNECT_STREAM])
async def test_a_stream_comes_as_it_is_sent_and_ends_when_its_client_leaves(
    make: str, form: str, tmp_path: Path
) -> None:
    service = Patient()
    async with (
        running_gateway([service]) as gateway,
        proxied(make, Front((gateway.port,), websockets=True), tmp_path) as proxy,
        http1(proxy.port) as request,
    ):
        body = encode_message(message())
        await request.begin(
            "POST", f"{STREAMING}/ServerStream", [("content-type", form), ("content-length", str(len(body)))]
        )
        await request.send(body)
        await request.end()
        for _ in range(3):
            assert await request.receive()
        await request.leave()
        await settles(lambda: (service.cancelled, gateway.server.calls), (1, 0), "handlers cancelled, and calls left")


async def test_grpc_that_a_proxy_sends_to_the_http_port(make: str, tmp_path: Path) -> None:
    async with (
        running_gateway() as gateway,
        proxied(make, Front((gateway.port,)), tmp_path) as proxy,
        open_channel(LOOPBACK, proxy.port) as channel,
    ):
        with pytest.raises(GRPCError) as raised:
            async with channel.request(GET_REPLY, Cardinality.UNARY_UNARY, Message, Response) as stream:
                await stream.send_message(Message("hi"), end=True)
                await stream.recv_message()
        assert raised.value.status is Status.UNIMPLEMENTED
        assert "this is the gateway's HTTP port" in str(raised.value.message)
