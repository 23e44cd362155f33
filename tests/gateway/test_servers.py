"""Which servers the gateway calls: several in turn, only those that are SERVING, within their limits."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from grpclib.const import Cardinality, Handler

from echo.pb.com.gopay.echo import Message, Response, ServerBase
from echo.rpc import Limits, Server, ServerStream
from echo.rpc.health import Health
from echo.services import echo_services
from tests.support.gateway import RunningGateway, gateway_to, running_gateway
from tests.support.serving import LOOPBACK, serving
from tests.support.streams import HELLO
from tests.support.websocket import open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")


class Named(ServerBase):
    """Answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def get_reply(self, message: Message) -> Response:
        return Response(success=bool(message.message), response=self.name)


class Handlers:
    """A service of one unary method."""

    def __init__(self, path: str, function: Callable[[ServerStream[Message, Response]], Awaitable[None]]) -> None:
        self._mapping = {path: Handler(function, Cardinality.UNARY_UNARY, Message, Response)}

    def __mapping__(self) -> Mapping[str, Handler]:
        return self._mapping


class Fleet:
    """Servers with a health each, and a gateway in front of them."""

    def __init__(self, gateway: RunningGateway, healths: dict[str, Health]) -> None:
        self._gateway = gateway
        self.healths = healths

    async def answers(self, number: int) -> list[str]:
        """The names of the servers that answer so many calls, one after the other."""
        bodies = [(await self._gateway.get("/grpc/x")).body.decode() for _ in range(number)]
        return [body.split(":")[1] for body in bodies]


@asynccontextmanager
async def fleet(balance: str) -> AsyncIterator[Fleet]:
    healths: dict[str, Health] = {}
    async with AsyncExitStack() as stack:
        ports = []
        for name in ("a", "b", "c"):
            service = Named(name)
            healths[name] = Health([service])
            ports.append(await stack.enter_async_context(serving(Server([service, healths[name]]))))
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in ports)
        gateway = await stack.enter_async_context(gateway_to(1, GRPC_SERVER_HOST=hosts, GRPC_CLIENT_BALANCE=balance))
        yield Fleet(gateway, healths)


async def test_the_first_of_several_servers_is_called() -> None:
    async with fleet("pick_first") as servers:
        assert await servers.answers(6) == ["a"] * 6


async def test_the_server_is_asked_for_by_another_name_than_it_is_called_at() -> None:
    heard: list[str] = []

    async def get_reply(stream: ServerStream[Message, Response]) -> None:
        heard.append(stream._call.request.authority)
        await stream.send_message(Response(success=True))

    server = Server([Handlers("/com.gopay.echo.Server/GetReply", get_reply)])
    async with serving(server) as port, gateway_to(port, GRPC_CLIENT_AUTHORITY="shop.example") as gateway:
        assert (await gateway.get("/grpc/x")).status == 200
    assert heard == ["shop.example"]


async def test_several_servers_are_called_by_turns() -> None:
    async with fleet("round_robin") as servers:
        with trio.fail_after(20):
            while set(await servers.answers(3)) != {"a", "b", "c"}:
                pass  # They are connected to one after the other.
        assert sorted(await servers.answers(9)) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3


async def test_a_server_that_says_it_does_not_serve_is_left_out() -> None:
    async with fleet("round_robin") as servers:
        with trio.fail_after(20):
            while set(await servers.answers(3)) != {"a", "b", "c"}:
                pass
            servers.healths["b"].drain()
            while "b" in await servers.answers(4):
                pass
        assert set(await servers.answers(6)) == {"a", "c"}


async def test_more_websockets_than_a_connection_takes_are_all_served() -> None:
    async with (
        running_gateway(limits=Limits(max_concurrent_streams=3), GRPC_MAX_CONCURRENT_STREAMS="3") as gateway,
        AsyncExitStack() as stack,
    ):
        with trio.fail_after(20):
            for _ in range(10):
                socket = await stack.enter_async_context(open_websocket(gateway.port, "/ws/stream/bidirectional"))
                await socket.send(HELLO)
                assert '"response":"from server: hi"' in str(await socket.receive())
            assert (await gateway.get("/readyz")).status == 200


async def test_the_record_of_a_call_is_found_at_whichever_server_took_it() -> None:
    first, second = (Server(echo_services().services) for _ in range(2))
    async with serving(first) as one, serving(second) as two:
        hosts = f"{LOOPBACK}:{one},{LOOPBACK}:{two}"
        async with gateway_to(1, GRPC_SERVER_HOST=hosts, GRPC_CLIENT_BALANCE="round_robin") as gateway:
            await gateway.get("/grpc/hi?call-id=one")
            for _ in range(4):  # The servers take calls in turn, these included.
                told = json.loads((await gateway.get("/evidence/one")).body)
                assert told["server"]["call_id"] == "one"
            assert (await gateway.get("/evidence/none")).status == 404
