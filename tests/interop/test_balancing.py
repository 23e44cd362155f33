"""Our client in front of several stock servers: their health is watched, and they come and go."""

from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import trio
import trio.testing
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from echo.rpc import Cardinality, Channel, GRPCError, Status, open_channel
from tests.support.grpcio import in_thread
from tests.support.services import BytesCodec
from tests.support.serving import LOOPBACK

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Stock:
    """A stock server that answers with its port, and has a health service."""

    def __init__(self, port: int = 0) -> None:
        self.health = health.HealthServicer()
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        method = grpc.unary_unary_rpc_method_handler(self._name)
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Name": method})])
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self.health.set("", SERVING)
        self.port: int = self._server.add_insecure_port(f"{LOOPBACK}:{port}")
        self._server.start()

    def _name(self, request: bytes, context: object) -> bytes:  # noqa: ARG002 - as grpcio calls it
        return b"%d" % self.port

    async def stop(self, grace: float | None = None) -> None:
        await in_thread(lambda: self._server.stop(grace).wait())


@asynccontextmanager
async def stocks(count: int) -> AsyncIterator[list[Stock]]:
    servers = [Stock() for _ in range(count)]
    try:
        yield servers
    finally:
        with trio.CancelScope(shield=True):
            for server in servers:
                await server.stop()


async def who(channel: Channel) -> int:
    async with channel.request("/test.Service/Name", Cardinality.UNARY_UNARY, bytes, bytes) as stream:
        await stream.send_message(b"")
        return int(await stream.recv_message() or 0)


async def answering(channel: Channel, servers: list[Stock]) -> None:
    """Wait until these servers answer, in equal shares, and no others."""
    wanted = {server.port: 5 for server in servers}
    with trio.fail_after(30):
        while Counter([await who(channel) for _ in range(5 * len(servers))]) != wanted:
            pass


def balanced(ports: list[int]) -> AbstractAsyncContextManager[Channel]:
    """A channel to the servers on these ports, by turns, among those that say they serve."""
    hosts = [f"{LOOPBACK}:{port}" for port in ports]
    return open_channel(hosts, balance="round_robin", health_service="", codec=BytesCodec())


async def test_stock_servers_have_their_share_while_they_say_that_they_serve() -> None:
    async with (
        stocks(3) as servers,
        balanced([server.port for server in servers]) as channel,
    ):
        await answering(channel, servers)
        servers[1].health.set("", NOT_SERVING)
        await answering(channel, [servers[0], servers[2]])
        servers[1].health.set("", SERVING)
        await answering(channel, servers)
        assert channel.connections == 3
        assert channel.calls == 0


async def test_a_stock_server_that_stops_costs_at_most_the_call_under_way_and_waits_for_no_watch() -> None:
    """It answers CANCELLED to what reaches it at the wrong moment."""
    failed: list[Status] = []
    async with (
        stocks(2) as servers,
        balanced([server.port for server in servers]) as channel,
    ):
        await answering(channel, servers)
        with trio.fail_after(30):  # Of the minute that calls would have.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(servers[0].stop, 60)
                for _ in range(100):
                    try:
                        await who(channel)
                    except GRPCError as error:
                        failed.append(error.status)
        assert failed in ([], [Status.CANCELLED], [Status.UNAVAILABLE])
        await answering(channel, servers[1:])
        servers[0] = Stock(servers[0].port)
        await answering(channel, servers)


async def test_a_stock_server_without_health_service_serves() -> None:
    async with stocks(1) as servers:
        servers[0].health.set("", NOT_SERVING)
        plain = grpc.server(ThreadPoolExecutor(4))
        method = grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"1")
        plain.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Name": method})])
        port = plain.add_insecure_port(f"{LOOPBACK}:0")
        plain.start()
        async with balanced([servers[0].port, port]) as channel:
            assert [await who(channel) for _ in range(10)] == [1] * 10
        await in_thread(lambda: plain.stop(None).wait())
