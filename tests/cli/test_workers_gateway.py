"""The gateway in several processes: spread, replaced and stopped without its users noticing."""

import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from tests.support.gateway import http_get
from tests.support.process import PATIENCE, Echo, running
from tests.support.websocket import Closed, open_websocket
from tests.support.workers import GATEWAY, SERVE, rolled, stop, third_worker, until

pytestmark = pytest.mark.slow  # Each starts three processes and more.


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    with trio.fail_after(2 * PATIENCE):
        yield


@asynccontextmanager
async def gateway(*flags: str) -> AsyncIterator[tuple[Echo, int]]:
    """A gateway with two workers in front of a server."""
    async with (
        running(*SERVE[:-2], "--access-log=off") as server,
        running(*GATEWAY, "--grpc-server-port", str(await server.grpc_port()), "--workers", "2", *flags) as echo,
    ):
        yield echo, await echo.http_port()
        stop(echo)
        assert await echo.status() == 0


async def test_a_gateway_s_requests_are_spread_over_its_workers() -> None:
    async with gateway() as (echo, port):
        assert echo.stdout.count('"console"') == 1
        found: Counter[str] = Counter()
        async with AsyncExitStack() as stack:
            for number in range(10):
                client = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
                found[await instance_that_answers(client, f"/grpc/{number}")] += 1
        # By connections that stay: that short ones have ended, the parent hears in whatever order.
        assert sorted(found.values()) == [5, 5]


async def instance_that_answers(client: trio.SocketStream, target: str) -> str:
    """Ask for this on a connection that stays open; the name of the worker."""
    await client.send_all(f"GET {target} HTTP/1.1\r\nHost: gateway.test\r\n\r\n".encode())
    answer = ""
    while not answer.endswith(":success:true"):
        data = await client.receive_some()
        assert data, answer
        answer += data.decode()
    found = re.search(r"(?im)^x-echo-instance: (\S+)", answer)
    assert found is not None, answer
    return found[1]


async def test_a_roll_of_the_gateway_closes_its_websockets_after_the_grace_period_and_is_ready_throughout() -> None:
    async with gateway("--shutdown-grace", "2s") as (echo, port):
        async with open_websocket(port, "/ws/stream/bidirectional") as old:
            await old.send('{"stream_id":"a","message":"hi"}')
            assert '"response":"from server: hi"' in str(await old.receive())
            echo.send(signal.SIGHUP)
            await until(third_worker(echo))
            async with open_websocket(port, "/ws/stream/bidirectional") as new:
                for _ in range(5):
                    assert (await http_get(port, "/readyz")).status == 200
                assert await old.receive() == Closed(1001, "going away")
                await new.send('{"stream_id":"a","message":"hi"}')
                assert '"response":"from server: hi"' in str(await new.receive())
                await new.send("")
                assert await new.receive() == Closed(1000)
        await rolled(echo)
        assert (await http_get(port, "/grpc/1")).status == 200


async def test_a_stopping_gateway_answers_that_it_is_not_ready() -> None:
    async with (
        gateway("--shutdown-grace", "20s") as (echo, port),
        open_websocket(port, "/ws/stream/bidirectional") as websocket,
    ):
        await websocket.send('{"stream_id":"a","message":"hi"}')
        await websocket.receive()
        echo.send(signal.SIGTERM)

        async def unready() -> bool:
            return (await http_get(port, "/readyz")).status == 503

        await until(unready)
        assert (await http_get(port, "/grpc/1")).status == 200
        await websocket.send("")
        assert await websocket.receive() == Closed(1000)


async def test_a_gateway_s_port_that_is_taken_is_reported() -> None:
    async with gateway() as (_, port):
        async with running(*GATEWAY, "--http-port", str(port), "--workers", "2") as second:
            assert await second.status() == 2
        assert "cannot listen on" in second.stderr
        assert len(second.stderr.splitlines()) == 1
