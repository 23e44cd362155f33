"""The server and the gateway by several processes: what a user sees of them."""

import json
import os
import re
import signal
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthCheckResponse, HealthCheckResponseServingStatus
from echo.rpc import Cardinality, Channel, GRPCError, Status, open_channel
from echo.workers import usable_cpus
from tests.support.chat import chat, say
from tests.support.gateway import http_get
from tests.support.process import PATIENCE, Echo, running
from tests.support.tls import Certificates
from tests.support.websocket import Closed, open_websocket

SERVE = ["serve", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0", "--workers", "2"]
GATEWAY = ["gateway", "--http-bind", "127.0.0.1", "--http-port", "0", "--grpc-server-host", "127.0.0.1"]
SERVING, NOT_SERVING = HealthCheckResponseServingStatus.SERVING, HealthCheckResponseServingStatus.NOT_SERVING

pytestmark = pytest.mark.slow  # Each starts three processes and more.


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    with trio.fail_after(2 * PATIENCE):
        yield


def workers_of(echo: Echo) -> list[int]:
    """The process ids of those that have been ready so far, in the order in which they were."""
    return [int(pid) for pid in re.findall(r'"worker serves".*?"worker": (\d+)', echo.stderr)]


def stop(echo: Echo) -> None:
    """Have it stop, if it has not been told to already."""
    said = [json.loads(line) for line in echo.stderr.splitlines()]
    if not any(line["event"] == "stopping" and "worker" not in line for line in said):
        echo.send(signal.SIGTERM)


async def rolled(echo: Echo, times: int = 1) -> None:
    await echo.logged("(?s)" + '.*"all workers are replaced"' * times)


@asynccontextmanager
async def serving(*flags: str, **variables: str) -> AsyncIterator[tuple[Echo, int]]:
    """A server with two workers, and its port; it is asked to stop in the end, and does."""
    async with running(*SERVE, *flags, **variables) as echo:
        yield echo, await echo.grpc_port()
        stop(echo)
        assert await echo.status() == 0
        assert '"level": "error"' not in echo.stderr
        assert '"critical"' not in echo.stderr


async def get_reply(channel: Channel, message: str = "hi") -> str:
    request = channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, Response, timeout=20)
    async with request as stream:
        await stream.send_message(Message(message), end=True)
        reply = await stream.recv_message()
    assert reply is not None
    return reply.response


async def health(port: int) -> object:
    """What a new connection is told."""
    check, kind = "/grpc.health.v1.Health/Check", Cardinality.UNARY_UNARY
    async with (
        open_channel("127.0.0.1", port) as channel,
        channel.request(check, kind, HealthCheckRequest, HealthCheckResponse, timeout=20) as stream,
    ):
        await stream.send_message(HealthCheckRequest(), end=True)
        reply = await stream.recv_message()
    assert reply is not None
    return reply.status


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    while not await happened():  # noqa: ASYNC110 - Of another process.
        await trio.sleep(0.01)


@asynccontextmanager
async def callers(port: int, number: int) -> AsyncIterator[list[Counter[str]]]:
    """So many connections, and on each one call after the other while the block runs; what became of them."""
    outcomes: list[Counter[str]] = [Counter() for _ in range(number)]

    async def call_on(channel: Channel, outcome: Counter[str]) -> None:
        while True:
            try:
                outcome[await get_reply(channel)] += 1
            except GRPCError as error:
                outcome[error.status.name] += 1

    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(open_channel("127.0.0.1", port)) for _ in outcomes]
        for channel in channels:
            await get_reply(channel)  # One after the other, so that they are spread.
        async with trio.open_nursery() as nursery:
            for channel, outcome in zip(channels, outcomes, strict=True):
                nursery.start_soon(call_on, channel, outcome)
            yield outcomes
            nursery.cancel_scope.cancel()


async def test_the_addresses_are_announced_once_and_each_worker_says_that_it_serves() -> None:
    async with serving("--grpc-health-port", "0") as (echo, port):
        await echo.health_port()
        async with open_channel("127.0.0.1", port) as channel:
            assert await get_reply(channel) == "from server:hi"
        assert len(echo.stdout.splitlines()) == 2
        assert len(set(workers_of(echo))) == 2


async def test_a_killed_worker_takes_the_calls_of_its_own_connections_and_nobody_else_s() -> None:
    async with serving("--access-log=off") as (echo, port), callers(port, 6) as outcomes:
        await until(_all_have(outcomes, 20))
        victim = workers_of(echo)[0]
        os.kill(victim, signal.SIGKILL)
        await until(_third_worker(echo))
        before = [outcome["from server:hi"] for outcome in outcomes]
        await until(_all_have(outcomes, max(before) + 20))
        failures = [{name: n for name, n in each.items() if name != "from server:hi"} for each in outcomes]
        assert sum(map(bool, failures)) <= 3, "three have their connections with each"
        assert all(not failure or failure == {"UNAVAILABLE": 1} for failure in failures), failures


def _all_have(outcomes: list[Counter[str]], number: int) -> Callable[[], Awaitable[bool]]:
    async def all_have() -> bool:
        return all(outcome["from server:hi"] >= number for outcome in outcomes)

    return all_have


def _third_worker(echo: Echo) -> Callable[[], Awaitable[bool]]:
    async def third() -> bool:
        return len(workers_of(echo)) >= 3

    return third


async def test_a_roll_under_load_loses_no_call_and_leaves_new_processes() -> None:
    async with serving("--access-log=off") as (echo, port):
        async with callers(port, 6) as outcomes:
            await until(_all_have(outcomes, 20))
            before = set(workers_of(echo))
            echo.send(signal.SIGHUP)
            await rolled(echo)
            await until(_all_have(outcomes, max(outcome["from server:hi"] for outcome in outcomes) + 20))
        assert {name for outcome in outcomes for name in outcome} == {"from server:hi"}
        assert not any(_runs(pid) for pid in before)


async def test_a_stream_that_is_open_when_a_roll_begins_goes_on_and_new_calls_go_to_new_workers() -> None:
    async with serving("--shutdown-grace", "20s") as (echo, port), open_channel("127.0.0.1", port) as channel:
        async with chat(channel) as stream:
            assert await say(stream, "one") == "from server: one"
            echo.send(signal.SIGHUP)
            await until(_third_worker(echo))
            assert await get_reply(channel) == "from server:hi"
            assert await say(stream, "two") == "from server: two"
            await stream.end()
            assert await stream.recv_message() is None
        await rolled(echo)


async def test_health_does_not_hear_of_a_roll_but_of_a_stop() -> None:
    async with serving("--grpc-health-port", "0", "--shutdown-grace", "20s") as (echo, port):
        health_port = await echo.health_port()
        async with open_channel("127.0.0.1", port) as channel, chat(channel) as stream:
            await say(stream, "this holds up the one that drains")
            echo.send(signal.SIGHUP)
            await until(_third_worker(echo))
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


async def test_streams_that_outlast_the_grace_period_are_told_unavailable() -> None:
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
        assert not any(_runs(pid) for pid in workers_of(echo))


async def test_workers_whose_parent_dies_finish_and_end() -> None:
    async with running(*SERVE, "--shutdown-grace", "20s") as echo:
        async with open_channel("127.0.0.1", await echo.grpc_port()) as channel, chat(channel) as stream:
            await say(stream, "one")
            workers = workers_of(echo)
            echo.send(signal.SIGKILL)
            await echo.logged("the parent is gone: draining")
            assert await say(stream, "two") == "from server: two"
            await stream.end()
            assert await stream.recv_message() is None

        async def ended() -> bool:
            return not any(_runs(pid) for pid in workers)

        await until(ended)


def _runs(pid: int) -> bool:
    """Whether it does anything yet; who adopts orphans may take its time to reap them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_worker_that_gets_sigterm_by_itself_is_replaced_without_a_lost_call() -> None:
    async with serving("--access-log=off") as (echo, port):
        async with callers(port, 4) as outcomes:
            await until(_all_have(outcomes, 20))
            first = workers_of(echo)[0]
            os.kill(first, signal.SIGTERM)
            await until(_third_worker(echo))
            await until(_all_have(outcomes, max(outcome["from server:hi"] for outcome in outcomes) + 20))
        assert {name for outcome in outcomes for name in outcome} == {"from server:hi"}


async def test_a_worker_takes_no_notice_of_sighup_by_itself() -> None:
    async with serving() as (echo, port):
        for pid in workers_of(echo):
            os.kill(pid, signal.SIGHUP)
        async with open_channel("127.0.0.1", port) as channel:
            assert await get_reply(channel) == "from server:hi"
        assert len(workers_of(echo)) == 2
        assert all(_runs(pid) for pid in workers_of(echo))


async def test_what_keeps_workers_from_starting_is_told_in_one_line_and_by_status_2(tmp_path: Path) -> None:
    async with running(*SERVE, GRPC_SERVER_CERT="nowhere.pem", GRPC_SERVER_KEY="nowhere.pem") as echo:
        assert await echo.status() == 2
    assert echo.stderr == "echo: GRPC_SERVER_CERT: 'nowhere.pem' cannot be read: No such file or directory\n"
    assert echo.stdout == ""


async def test_a_port_that_is_taken_is_told_before_any_worker_starts() -> None:
    async with serving() as (_, port):
        async with running(*SERVE, "--grpc-server-port", str(port)) as second:
            assert await second.status() == 2
        assert "cannot listen on" in second.stderr
        assert len(second.stderr.splitlines()) == 1


async def test_up_refuses_workers() -> None:
    async with running("up", "--grpc-server-port", "0", "--http-port", "0", WORKERS="2") as echo:
        assert await echo.status() == 2
    assert echo.stderr == "echo: WORKERS: up is one process; run serve and gateway for workers\n"


async def test_one_worker_is_no_parent() -> None:
    async with running(*SERVE, "--workers", "1") as echo:
        await echo.grpc_port()
        echo.send(signal.SIGHUP)
        assert await echo.status() == -signal.SIGHUP


async def test_auto_is_a_worker_for_each_cpu_and_always_has_a_parent() -> None:
    async with running(*SERVE[:-2], WORKERS="auto") as echo:
        await echo.grpc_port()
        assert len(workers_of(echo)) == usable_cpus()
        echo.send(signal.SIGHUP)
        await rolled(echo)
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0


async def test_a_channel_that_is_none_is_refused() -> None:
    async with running(*SERVE, ECHO_WORKER_CHANNEL="77") as echo:
        assert await echo.status() == 2
    assert echo.stderr == "echo: ECHO_WORKER_CHANNEL: '77' is not a channel; only echo itself sets this\n"


async def test_a_unix_socket_is_the_parent_s(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    async with running("serve", "--grpc-server-bind", f"unix:{path}", "--workers", "2") as echo:
        await echo.announced("grpc")
        async with open_channel(f"unix:{path}") as channel:
            assert await get_reply(channel) == "from server:hi"
            echo.send(signal.SIGHUP)
            await rolled(echo)
            assert await get_reply(channel) == "from server:hi"
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0
    assert not path.exists()


async def test_tls_is_the_workers_and_a_roll_reads_certificates_again(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(certificates: Certificates) -> None:
        cert.write_text(Path(certificates.server.cert).read_text())
        key.write_text(Path(certificates.server.key).read_text())

    async def ask(context: ssl.SSLContext, port: int) -> str:
        async with open_channel("127.0.0.1", port, tls=context, server_hostname="localhost") as channel:
            return await get_reply(channel)

    put(old)
    async with serving("--grpc-server-cert", str(cert), "--grpc-server-key", str(key)) as (echo, port):
        assert await ask(old.calling(), port) == "from server:hi"
        put(new)
        echo.send(signal.SIGHUP)
        await rolled(echo)
        assert await ask(new.calling(), port) == "from server:hi"


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
        for number in range(10):
            answer = await http_get(port, f"/grpc/{number}")
            assert answer.body.endswith(b":from server:%d:success:true" % number)
            found[answer.headers["x-echo-instance"]] += 1
        assert len(found) == 2
        assert min(found.values()) >= 4


async def test_a_roll_of_the_gateway_closes_its_websockets_after_the_grace_period_and_is_ready_throughout() -> None:
    async with gateway("--shutdown-grace", "2s") as (echo, port):
        async with open_websocket(port, "/ws/stream/bidirectional") as old:
            await old.send('{"stream_id":"a","message":"hi"}')
            assert '"response":"from server: hi"' in str(await old.receive())
            echo.send(signal.SIGHUP)
            await until(_third_worker(echo))
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


async def test_a_stop_of_the_gateway_is_told_to_who_asks_whether_it_is_ready() -> None:
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


async def test_a_gateway_s_port_that_is_taken_is_told() -> None:
    async with gateway() as (_, port):
        async with running(*GATEWAY, "--http-port", str(port), "--workers", "2") as second:
            assert await second.status() == 2
        assert "cannot listen on" in second.stderr
        assert len(second.stderr.splitlines()) == 1


async def test_every_line_is_json_and_a_worker_s_log_says_whose_it_is() -> None:
    async with serving() as (echo, port), open_channel("127.0.0.1", port) as channel:
        await get_reply(channel)
        await echo.logged('"event":"call"')
    assert all(isinstance(json.loads(line), dict) for line in [*echo.stdout.splitlines(), *echo.stderr.splitlines()])
