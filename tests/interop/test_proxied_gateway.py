"""The gateway behind nginx, haproxy and envoy: HTTP and WebSockets as a browser on the far side of a proxy has them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from echo.rpc import Servable
from tests.support.gateway import RunningGateway, http_get, running_gateway
from tests.support.leaks import no_leaks, settles
from tests.support.proxies import EACH_PROXY, kernel_buffers, proxied
from tests.support.proxy_configs import Front
from tests.support.streams import HELLO, Patient
from tests.support.websocket import Closed, Rejected, WebSocket, open_websocket

pytestmark = EACH_PROXY

BIDIRECTIONAL = "/ws/stream/bidirectional"
SERVER = "/ws/stream/server"
CLIENT = "/ws/stream/client"


@dataclass
class Far:
    """A gateway behind a proxy.

    Attributes:
        gateway: The gateway.
        port: Where the proxy listens.
    """

    gateway: RunningGateway
    port: int


@asynccontextmanager
async def far(make: str, folder: Path, *services: Servable) -> AsyncIterator[Far]:
    """A gateway behind a proxy of this make, and these services, else the echo services, behind the gateway."""
    async with (
        no_leaks(),
        running_gateway(services or None) as gateway,
        proxied(make, Front((gateway.port,), websockets=True), folder) as proxy,
    ):
        yield Far(gateway, proxy.port)


def hello(text: str) -> str:
    return json.dumps({"stream_id": "a", "message": text})


async def response(socket: WebSocket) -> tuple[str, int]:
    """What the next message says, and its number."""
    text = await socket.receive()
    assert isinstance(text, str), text
    answer = json.loads(text)
    return answer["response"], answer["sequence_number"]


async def test_a_unary_call_over_http(make: str, tmp_path: Path) -> None:
    async with far(make, tmp_path) as there:
        answer = await http_get(there.port, "/grpc/a%2Fb/%C3%BC")
        assert (answer.status, answer.body.partition(b":")[2].decode()) == (200, "from server:a/b/ü:success:true")
        assert (await http_get(there.port, "/readyz")).body == b"Hello!"
        assert (await http_get(there.port, "/nothing")).status == 404


async def test_bidirectional_answers_each_message_as_it_comes(make: str, tmp_path: Path) -> None:
    async with far(make, tmp_path) as there, open_websocket(there.port, BIDIRECTIONAL) as socket:
        for number in range(1, 4):
            await socket.send(hello(f"<é✓ {number}>"))
            assert await response(socket) == (f"from server: <é✓ {number}>", number)
        await socket.send("")
        assert await socket.receive() == Closed(1000)


async def test_a_thousand_messages_stay_in_order_and_a_large_one_is_whole(make: str, tmp_path: Path) -> None:
    async with far(make, tmp_path) as there, open_websocket(there.port, BIDIRECTIONAL) as socket:
        async with trio.open_nursery() as nursery:

            async def pour() -> None:
                for number in range(1_000):
                    await socket.send(hello(str(number)))

            nursery.start_soon(pour)
            for number in range(1_000):
                assert await response(socket) == (f"from server: {number}", number + 1)
        await socket.send(hello("é" * 500_000))
        assert await response(socket) == ("from server: " + "é" * 500_000, 1_001)


async def test_the_half_close_brings_the_summary(make: str, tmp_path: Path) -> None:
    async with far(make, tmp_path) as there, open_websocket(there.port, CLIENT) as socket:
        for _ in range(3):
            await socket.send(hello("hi"))
        await socket.send('{"half_close":true}')
        assert await response(socket) == ("from server: received 3 messages", 3)
        assert await socket.receive() == Closed(1000)


async def test_a_call_that_fails_closes_1011_with_its_status(make: str, tmp_path: Path) -> None:
    async with far(make, tmp_path) as there:
        for target in (BIDIRECTIONAL, CLIENT, SERVER):
            async with open_websocket(there.port, target) as socket:
                await socket.send('{"message":"no stream id"}')
                assert await socket.receive() == Closed(1011, "INVALID_ARGUMENT: stream_id is required")


async def test_a_gateway_that_goes_closes_1001(make: str, tmp_path: Path) -> None:
    async with far(make, tmp_path) as there, open_websocket(there.port, BIDIRECTIONAL) as socket:
        await socket.send(hello("hi"))
        assert await response(socket) == ("from server: hi", 1)
        there.gateway.stop.set()
        assert await socket.receive() == Closed(1001, "going away")


@pytest.mark.parametrize("how", ["closes", "drops", "resets"])
@pytest.mark.parametrize("target", [BIDIRECTIONAL, SERVER])
async def test_a_client_that_leaves_cancels_the_call(make: str, how: str, target: str, tmp_path: Path) -> None:
    patient = Patient()
    async with far(make, tmp_path, patient) as there:
        async with open_websocket(there.port, target) as socket:
            await socket.send(HELLO)
            assert isinstance(await socket.receive(), str)
            assert not patient.ended.is_set()
            if how == "closes":
                await socket.close()
            elif how == "resets":
                await socket.reset()
        with trio.fail_after(30):
            await patient.ended.wait()
        assert patient.cancelled == 1
        await settles(lambda: there.gateway.server.calls, 0, "calls of the server")


async def test_a_client_that_does_not_read_stops_the_handler(make: str, tmp_path: Path) -> None:
    patient = Patient()
    async with far(make, tmp_path, patient) as there:
        async with open_websocket(there.port, SERVER, buffer=4096) as socket:
            await socket.send(HELLO)
            await patient.started.wait()
            stood = await patient.stands_still(elsewhere=0.2)
            assert stood < (2 * kernel_buffers() + 2_000_000) // 10_000, "more lies somewhere than in the kernel"
            for _ in range(stood + 10):
                assert isinstance(await socket.receive(), str)
            assert patient.sent > stood
        with trio.fail_after(30):
            await patient.ended.wait()
        assert patient.cancelled == 1


async def test_a_proxy_that_dies_cancels_the_call(make: str, tmp_path: Path) -> None:
    patient = Patient()
    async with no_leaks(), running_gateway([patient]) as gateway:
        front = Front((gateway.port,), websockets=True)
        async with proxied(make, front, tmp_path) as proxy, open_websocket(proxy.port, BIDIRECTIONAL) as socket:
            await socket.send(HELLO)
            assert isinstance(await socket.receive(), str)
            await proxy.kill()
            assert await socket.receive() == Closed(None)
            with trio.fail_after(30):
                await patient.ended.wait()
        assert patient.cancelled == 1


async def test_the_gateway_s_own_origin_is_what_the_browser_sees(make: str, tmp_path: Path) -> None:
    async with far(make, tmp_path) as there:
        async with open_websocket(there.port, BIDIRECTIONAL, [("Origin", "http://gateway.test")]) as socket:
            await socket.send(hello("hi"))
            assert await response(socket) == ("from server: hi", 1)
        with pytest.raises(Rejected) as rejected:
            async with open_websocket(there.port, BIDIRECTIONAL, [("Origin", "http://evil.test")]):
                pass
        assert rejected.value.status == 403


async def test_a_backend_that_is_gone_is_told_by_the_proxy(make: str, tmp_path: Path) -> None:
    async with far(make, tmp_path) as there:
        there.gateway.scope.cancel()
        await there.gateway.stopped.wait()
        with pytest.raises(Rejected) as rejected:
            async with open_websocket(there.port, BIDIRECTIONAL):
                pass
        assert rejected.value.status in {502, 503}
