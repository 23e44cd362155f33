"""The metrics of all workers at one port: a sum that never falls, even if workers die or are replaced."""

import os
import signal
from collections.abc import AsyncIterator

import pytest
import trio

from echo.rpc import open_channel
from tests.support.chat import chat, say
from tests.support.gateway import http_get
from tests.support.metrics import GET_REPLY, scrape, scraped_until
from tests.support.process import PATIENCE, running
from tests.support.workers import first_workers

SERVE = ["serve", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0", "--metrics-port", "0"]
WORKERS = ["--workers", "2"]
STARTED = "grpc_server_call_started_total"
BIDIRECTIONAL = "com.gopay.echo.streaming.StreamingServer/BidirectionalStream"

pytestmark = pytest.mark.slow  # Each starts three processes and more.


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    with trio.fail_after(2 * PATIENCE):
        yield


async def call_each_worker(port: int) -> None:
    """Two connections that stay for two, so one on each."""
    async with (
        open_channel("127.0.0.1", port) as one,
        open_channel("127.0.0.1", port) as other,
        chat(one) as first,
        chat(other) as second,
    ):
        for stream in (first, second):
            await say(stream, "hi")
        for stream in (first, second):
            await stream.end()
            assert await stream.recv_message() is None


async def test_workers_counts_are_added_up_and_never_fall() -> None:
    async with running(*SERVE, *WORKERS) as echo:
        port, metrics_port = await echo.grpc_port(), await echo.metrics_port()
        await call_each_worker(port)
        found = await scraped_until(metrics_port, lambda found: found.value(STARTED, grpc_method=BIDIRECTIONAL) == 2)
        assert found.value(STARTED, grpc_method=BIDIRECTIONAL) == 2
        os.kill((await first_workers(echo))[0], signal.SIGKILL)
        await echo.logged("(?s)" + '.*"worker serves"' * 3)
        assert (await scrape(metrics_port)).value(STARTED, grpc_method=BIDIRECTIONAL) == 2
        await call_each_worker(port)  # Not scraped before the workers that counted these calls are gone.
        echo.send(signal.SIGHUP)
        await echo.logged('"all workers are replaced"')
        found = await scrape(metrics_port)
        assert found.value(STARTED, grpc_method=BIDIRECTIONAL) == 4
        assert found.value("echo_grpc_server_active_calls") == 0
        assert GET_REPLY not in found.by("grpc_method", STARTED)
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0


async def test_metrics_are_served_throughout_a_drain() -> None:
    async with running(*SERVE, *WORKERS, "--shutdown-grace", "20s") as echo:
        metrics_port = await echo.metrics_port()
        async with open_channel("127.0.0.1", await echo.grpc_port()) as channel, chat(channel) as stream:
            await say(stream, "hi")
            echo.send(signal.SIGTERM)
            await echo.logged('"stopping"')
            assert (await scrape(metrics_port)).value(STARTED, grpc_method=BIDIRECTIONAL) == 1
            await stream.end()
            assert await stream.recv_message() is None
        assert await echo.status() == 0


async def test_a_gateway_s_workers_are_counted_together_as_well() -> None:
    async with (
        running(*SERVE[:-2]) as server,
        running(
            *("gateway", "--http-bind", "127.0.0.1", "--http-port", "0", "--grpc-server-host", "127.0.0.1"),
            *("--grpc-server-port", str(await server.grpc_port()), "--metrics-port", "0", *WORKERS),
        ) as echo,
    ):
        port, metrics_port = await echo.http_port(), await echo.metrics_port()
        for number in range(6):
            assert (await http_get(port, f"/grpc/{number}")).status == 200
        name, route = "http_server_request_duration_seconds_count", "/grpc/{key}"
        await scraped_until(metrics_port, lambda found: found.value(name, http_route=route) == 6)
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0
