"""The server and the gateway by several processes: what a user sees of them."""

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthCheckResponse, HealthCheckResponseServingStatus
from echo.rpc import Cardinality, GRPCError, Status, open_channel
from tests.support.chat import chat, say
from tests.support.process import PATIENCE, running
from tests.support.workers import (
    SERVE,
    all_have,
    callers,
    first_workers,
    get_reply,
    rolled,
    runs,
    serving,
    third_worker,
    until,
    workers_of,
)

SERVING, NOT_SERVING = HealthCheckResponseServingStatus.SERVING, HealthCheckResponseServingStatus.NOT_SERVING

pytestmark = pytest.mark.slow  # Each starts three processes and more.


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    with trio.fail_after(2 * PATIENCE):
        yield


async def health(port: int) -> object:
    """The health that a new connection gets."""
    check, kind = "/grpc.health.v1.Health/Check", Cardinality.UNARY_UNARY
    async with (
        open_channel("127.0.0.1", port) as channel,
        channel.request(check, kind, HealthCheckRequest, HealthCheckResponse, timeout=20) as stream,
    ):
        await stream.send_message(HealthCheckRequest(), end=True)
        reply = await stream.recv_message()
    assert reply is not None
    return reply.status


async def test_the_addresses_are_announced_once_and_each_worker_says_that_it_serves() -> None:
    async with serving("--grpc-health-port", "0") as (echo, port):
        await echo.health_port()
        async with open_channel("127.0.0.1", port) as channel:
            assert await get_reply(channel) == "from server:hi"
        assert len(echo.stdout.splitlines()) == 2
        assert len(set(workers_of(echo))) == 2


async def test_a_killed_worker_fails_only_the_calls_on_its_own_connections() -> None:
    async with serving("--access-log=off") as (echo, port), callers(port, 6) as outcomes:
        await until(all_have(outcomes, 20))
        victim = workers_of(echo)[0]
        os.kill(victim, signal.SIGKILL)
        await until(third_worker(echo))
        before = [outcome["from server:hi"] for outcome in outcomes]
        await until(all_have(outcomes, max(before) + 20))
        failures = [{name: n for name, n in each.items() if name != "from server:hi"} for each in outcomes]
        assert sum(map(bool, failures)) <= 3, "three have their connections with each"
        assert all(not failure or failure == {"UNAVAILABLE": 1} for failure in failures), failures


async def test_a_roll_under_load_loses_no_call_and_leaves_new_processes() -> None:
    async with serving("--access-log=off") as (echo, port):
        async with callers(port, 6) as outcomes:
            await until(all_have(outcomes, 20))
            before = set(workers_of(echo))
            echo.send(signal.SIGHUP)
            await rolled(echo)
            await until(all_have(outcomes, max(outcome["from server:hi"] for outcome in outcomes) + 20))
        assert {name for outcome in outcomes for name in outcome} == {"from server:hi"}
        assert not any(runs(pid) for pid in before)


async def test_a_stream_that_is_open_when_a_roll_begins_continues_and_new_calls_go_to_new_workers() -> None:
    async with serving("--shutdown-grace", "20s") as (echo, port), open_channel("127.0.0.1", port) as channel:
        async with chat(channel) as stream:
            assert await say(stream, "one") == "from server: one"
            echo.send(signal.SIGHUP)
            await until(third_worker(echo))
            assert await get_reply(channel) == "from server:hi"
            assert await say(stream, "two") == "from server: two"
            await stream.end()
            assert await stream.recv_message() is None
        await rolled(echo)


async def test_health_stays_serving_during_a_roll_but_not_during_a_stop() -> None:
    async with serving("--grpc-health-port", "0", "--shutdown-grace", "20s") as (echo, port):
        health_port = await echo.health_port()
        async with open_channel("127.0.0.1", port) as channel, chat(channel) as stream:
            await say(stream, "this holds up the one that drains")
            echo.send(signal.SIGHUP)
            await until(third_worker(echo))
            for _ in range(10):
                assert await health(health_port) == SERVING
                assert await health(port) == SERVING
            await stream.end()
            assert await stream.recv_message() is None
        await rolled(echo)
        async with open_channel("127.0.0.1", port) as channel, chat(channel) as stream:
            await say(stream, "this one as well")
            echo.send(signal.SIGTERM)

            async def told() -> bool:
                return await health(health_port) == NOT_SERVING

            await until(told)
            await stream.end()
            assert await stream.recv_message() is None


async def test_sigterm_lets_streams_of_all_workers_finish() -> None:
    async with running(*SERVE, "--shutdown-grace", "20s") as echo, AsyncExitStack() as stack:
        port = await echo.grpc_port()
        streams = []
        for _ in range(4):
            channel = await stack.enter_async_context(open_channel("127.0.0.1", port))
            streams.append(await stack.enter_async_context(chat(channel)))
            await say(streams[-1], "one")
        echo.send(signal.SIGTERM)
        await echo.logged("stopping")
        for stream in streams:
            assert await say(stream, "two") == "from server: two"
            await stream.end()
            assert await stream.recv_message() is None
        assert await echo.status() == 0


async def test_a_sighup_during_a_drain_does_not_kill_the_parent(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    async with running("serve", "--grpc-server-bind", f"unix:{path}", "--workers", "2") as echo:
        await echo.announced("grpc")
        async with open_channel(f"unix:{path}") as channel, chat(channel) as stream:
            await say(stream, "one")
            echo.send(signal.SIGTERM)
            await echo.logged('"stopping"')
            echo.send(signal.SIGHUP)
            assert await say(stream, "two") == "from server: two"
            await stream.end()
            assert await stream.recv_message() is None
        assert await echo.status() == 0
    assert not path.exists()


async def test_streams_that_outlast_the_grace_period_get_unavailable() -> None:
    async with running(*SERVE, "--shutdown-grace", "0s") as echo:
        async with open_channel("127.0.0.1", await echo.grpc_port()) as channel:
            with pytest.raises(GRPCError) as raised:
                async with chat(channel) as stream:
                    await say(stream, "one")
                    echo.send(signal.SIGTERM)
                    await stream.recv_message()
            assert (raised.value.status, raised.value.message) == (
                Status.UNAVAILABLE,
                "the server is shutting down",
            )
        assert await echo.status() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_ends_all_at_once(number: signal.Signals, status: int) -> None:
    async with running(*SERVE, "--shutdown-grace", "1h") as echo:
        async with open_channel("127.0.0.1", await echo.grpc_port()) as channel:
            with pytest.raises(GRPCError):
                async with chat(channel) as stream:
                    await say(stream, "one")
                    echo.send(number)
                    await echo.logged('"stopping"')
                    echo.send(number)
                    await stream.recv_message()
        assert await echo.status() == status
        assert not any(runs(pid) for pid in workers_of(echo))


async def test_workers_whose_parent_dies_finish_and_end() -> None:
    async with running(*SERVE, "--shutdown-grace", "20s") as echo:
        async with open_channel("127.0.0.1", await echo.grpc_port()) as channel, chat(channel) as stream:
            await say(stream, "one")
            workers = await first_workers(echo)
            echo.send(signal.SIGKILL)
            await echo.logged("the parent is gone: draining")
            assert await say(stream, "two") == "from server: two"
            await stream.end()
            assert await stream.recv_message() is None

        async def ended() -> bool:
            return not any(runs(pid) for pid in workers)

        await until(ended)


async def test_a_worker_that_gets_sigterm_is_replaced_without_a_lost_call() -> None:
    async with serving("--access-log=off") as (echo, port):
        async with callers(port, 4) as outcomes:
            await until(all_have(outcomes, 20))
            first = workers_of(echo)[0]
            os.kill(first, signal.SIGTERM)
            await until(third_worker(echo))
            await until(all_have(outcomes, max(outcome["from server:hi"] for outcome in outcomes) + 20))
        assert {name for outcome in outcomes for name in outcome} == {"from server:hi"}


async def test_a_worker_ignores_sighup() -> None:
    async with serving() as (echo, port):
        for pid in workers_of(echo):
            os.kill(pid, signal.SIGHUP)
        async with open_channel("127.0.0.1", port) as channel:
            assert await get_reply(channel) == "from server:hi"
        assert len(workers_of(echo)) == 2
        assert all(runs(pid) for pid in workers_of(echo))


async def test_every_line_is_json_and_a_worker_s_log_says_whose_it_is() -> None:
    async with serving() as (echo, port), open_channel("127.0.0.1", port) as channel:
        await get_reply(channel)
        await echo.logged('"event":"call"')
    assert all(isinstance(json.loads(line), dict) for line in [*echo.stdout.splitlines(), *echo.stderr.splitlines()])
