"""The programs as processes: what they print, how they stop, and which calls may finish."""

import json
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import TypeVar
from urllib.request import urlopen

import pytest
import trio
import trustme
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthCheckResponse, HealthCheckResponseServingStatus
from echo.rpc import Cardinality, Channel, GRPCError, Status, open_channel
from echo.settings import load_settings
from echo.tls import client_context
from tests.support.chat import chat, say
from tests.support.process import PATIENCE, Echo, command, environment, running, running_unread
from tests.support.tcp import reserved_port

T = TypeVar("T")

SERVE = ["serve", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0"]
UP = ["up", *SERVE[1:], "--http-bind", "127.0.0.1", "--http-port", "0"]


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    """A time limit, so that a test that waits in vain fails with a traceback."""
    with trio.fail_after(2 * PATIENCE):
        yield


@asynccontextmanager
async def serving(*flags: str) -> AsyncIterator[tuple[Echo, Channel]]:
    """A server in a process of its own, and a channel to it."""
    async with running(*SERVE, *flags) as echo, open_channel("127.0.0.1", await echo.grpc_port()) as channel:
        yield echo, channel


async def reply_to(channel: Channel, message: str) -> str:
    request = channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, Response)
    async with request as stream:
        await stream.send_message(Message(message=message), end=True)
        reply = await stream.recv_message()
    assert reply is not None
    return reply.response


async def in_thread(function: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(function, abandon_on_cancel=True)


async def test_text_names_the_real_port_and_then_what_to_try() -> None:
    async with serving("--log-format", "console") as (echo, channel):
        port = await echo.grpc_port()
        assert port != 0
        example = f"""grpcurl -plaintext -d '{{"message":"hi"}}' 127.0.0.1:{port} com.gopay.echo.Server/GetReply"""
        await echo.printed(f"^  try: {re.escape(example)}$")
        assert await reply_to(channel, "hi") == "from server:hi"
    assert [line.split()[0] for line in echo.stdout.splitlines()] == ["gRPC", "try:"]


@pytest.mark.parametrize("program", ["up", "gateway"])
async def test_the_console_s_address_comes_first(program: str) -> None:
    flags = UP[1:] if program == "up" else ["--http-bind", "127.0.0.1", "--http-port", "0"]
    async with running(program, *flags, LOG_FORMAT="console") as echo:
        port = await echo.http_port()
        assert echo.stdout.splitlines()[0] == f"console: http://127.0.0.1:{port}/"
        assert "html" in await in_thread(partial(get, port, "/"))


async def test_without_a_terminal_every_line_on_either_stream_is_json() -> None:
    async with running(*UP, GRPC_HEALTH_PORT="0") as echo:
        http_port = await echo.http_port()
        await in_thread(partial(get, http_port, "/grpc/hi"))
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0
    said = [json.loads(line) for line in echo.stdout.splitlines()]
    assert [(event["event"], event.get("service")) for event in said] == [
        ("console", None),
        *(("listening", service) for service in ("grpc", "health", "gateway")),
    ]
    assert said[0]["url"] == f"http://127.0.0.1:{http_port}/"
    assert "stopping" in [json.loads(line)["event"] for line in echo.stderr.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_an_idle_server_with_status_0_and_every_log_line_is_json(number: signal.Signals) -> None:
    async with serving() as (echo, channel):
        await reply_to(channel, "hi")
        echo.send(number)
        assert await echo.status() == 0
    events = [json.loads(line) for line in echo.stderr.splitlines()]
    assert [event["event"] for event in events] == ["call", "stopping"]
    assert events[1]["signal"] == number.name


async def test_calls_are_logged_as_they_end() -> None:
    async with serving("--log-format", "console") as (echo, channel):
        await reply_to(channel, "hi")
        await echo.logged(r"\[info +\] call .*method=/com.gopay.echo.Server/GetReply status=OK")


async def test_a_log_that_nobody_reads_does_not_stop_the_server() -> None:
    async with (
        running_unread(command(*SERVE), environment()) as echo,
        open_channel("127.0.0.1", await echo.grpc_port()) as channel,
        trio.open_nursery() as nursery,
    ):
        for _ in range(600):  # Twice what the pipe holds.
            assert await reply_to(channel, "hi") == "from server:hi"
        for _ in range(20):  # Each of these has a line in the other log.
            async with await trio.open_tcp_stream("127.0.0.1", await echo.grpc_port()) as foreigner:
                await foreigner.send_all(b"GET / HTTP/1.1\r\n\r\n")
                assert b"505" in await foreigner.receive_some()
        assert await reply_to(channel, "hi") == "from server:hi"
        await nursery.start(echo.pump, "stderr")
        await echo.logged('"method":"/com.gopay.echo.Server/GetReply"')
        await reply_to(channel, "hi")
        await reply_to(channel, "hi")
        lost = await echo.logged(r'"event":"log lines were dropped","lines":(\d+)')
        assert int(lost[1]) > 200
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0


async def test_a_stream_that_is_open_when_sigterm_comes_may_finish() -> None:
    async with serving() as (echo, channel):
        watch = channel.request(
            "/grpc.health.v1.Health/Watch", Cardinality.UNARY_STREAM, HealthCheckRequest, HealthCheckResponse
        )
        async with chat(channel) as stream:
            assert await say(stream, "before") == "from server: before"
            async with watch as health:
                await health.send_message(HealthCheckRequest(service=""), end=True)
                first = await health.recv_message()
                echo.send(signal.SIGTERM)
                second = await health.recv_message()
                await health.cancel()
            assert await say(stream, "after") == "from server: after"
            with pytest.raises(OSError, match="connect"):
                await trio.open_tcp_stream("127.0.0.1", await echo.grpc_port())
            await stream.end()
            assert await stream.recv_message() is None
        assert await echo.status() == 0
    assert first is not None
    assert first.status == HealthCheckResponseServingStatus.SERVING
    assert second is not None
    assert second.status == HealthCheckResponseServingStatus.NOT_SERVING


async def interrupted_chat(echo: Echo, channel: Channel, *signals: signal.Signals) -> None:
    """Open a stream that never ends by itself, send the signals, and wait for what becomes of the stream."""
    async with chat(channel) as stream:
        await say(stream, "before")
        echo.send(signal.SIGTERM)
        await echo.logged('"stopping"')
        for number in signals:
            echo.send(number)
        await stream.recv_message()


async def test_a_stream_that_outlasts_the_grace_period_is_ended_unavailable() -> None:
    async with serving("--shutdown-grace", "100ms") as (echo, channel):
        with pytest.raises(GRPCError) as caught:
            await interrupted_chat(echo, channel)
        assert caught.value.status is Status.UNAVAILABLE
        assert await echo.status() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_does_not_wait_for_the_grace_period(number: signal.Signals, status: int) -> None:
    async with serving("--shutdown-grace", "1h") as (echo, channel):
        with pytest.raises(GRPCError):
            await interrupted_chat(echo, channel, number)
        assert await echo.status() == status
    assert "Traceback" not in echo.stderr


class Certificates:
    """Flags for a server that requires mTLS, and for a gateway that may call it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        for name, identity in (("server", "localhost"), ("client", "gateway@example.com")):
            leaf = authority.issue_cert(identity)
            leaf.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
            leaf.private_key_pem.write_to_path(folder / f"{name}.key")
        self.server = [
            f"--grpc-server-cert={folder / 'server.pem'}",
            f"--grpc-server-key={folder / 'server.key'}",
            f"--grpc-server-client-ca={self.ca}",
        ]
        self.client = {
            "grpc_server_tls": "true",
            "grpc_client_ca": str(self.ca),
            "grpc_client_cert": str(folder / "client.pem"),
            "grpc_client_key": str(folder / "client.key"),
        }
        self.gateway = [f"--{field.replace('_', '-')}={value}" for field, value in self.client.items()]


async def test_a_server_with_a_certificate_speaks_tls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    context = client_context(load_settings({}, **certificates.client))
    async with running(*SERVE, *certificates.server) as echo:
        assert (await echo.announced("grpc"))["security"] == "mTLS"
        port = await echo.grpc_port()
        async with open_channel("127.0.0.1", port, tls=context, server_hostname="localhost") as channel:
            assert await reply_to(channel, "hi") == "from server:hi"


async def test_up_runs_a_gateway_that_calls_the_server_beside_it() -> None:
    async with running(*UP) as echo:
        grpc_port, http_port = await echo.grpc_port(), await echo.http_port()
        assert (await echo.announced("gateway"))["server"] == f"127.0.0.1:{grpc_port}"
        assert (await in_thread(partial(get, http_port, "/grpc/hi"))).endswith(":from server:hi:success:true")
        async with open_channel("127.0.0.1", grpc_port) as channel:
            assert await reply_to(channel, "hi") == "from server:hi"
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0
    assert "Traceback" not in echo.stderr


async def test_up_with_certificates_calls_over_mtls_by_the_servers_name(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with running(*UP, *certificates.server, *certificates.gateway) as echo:
        http_port = await echo.http_port()
        assert (await in_thread(partial(get, http_port, "/grpc/hi"))).endswith(":from server:hi:success:true")


async def test_calls_relayed_by_up_finish_after_sigterm_as_the_gateway_drains_first() -> None:
    async with running(*UP) as echo:
        http_port = await echo.http_port()
        with connect(f"ws://127.0.0.1:{http_port}/ws/stream/bidirectional") as client:
            assert await in_thread(partial(relay, client, "before")) == "from server: before"
            echo.send(signal.SIGTERM)
            await echo.logged('"stopping"')
            assert await in_thread(partial(relay, client, "after")) == "from server: after"
            assert await in_thread(partial(half_close, client)) == 1000
        assert await echo.status() == 0
    assert "Traceback" not in echo.stderr


async def test_server_and_gateway_run_as_two_processes() -> None:
    async with running(*SERVE) as server, running(*gateway_to(await server.grpc_port())) as echo:
        http_port = await echo.http_port()
        assert (await in_thread(partial(get, http_port, "/grpc/hi"))).endswith(":from server:hi:success:true")
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0


async def test_a_gateway_starts_without_its_server_and_says_that_it_is_not_ready() -> None:
    with reserved_port() as nobody:
        async with running(*gateway_to(nobody)) as echo:
            http_port = await echo.http_port()
            assert await in_thread(partial(status_of, http_port, "/healthz")) == 200
            assert await in_thread(partial(status_of, http_port, "/readyz")) == 503
            echo.send(signal.SIGTERM)
            assert await echo.status() == 0


def gateway_to(port: int) -> list[str]:
    flags = ["--grpc-server-host", "127.0.0.1", "--grpc-server-port", str(port)]
    return ["gateway", *flags, "--http-bind", "127.0.0.1", "--http-port", "0"]


def get(port: int, path: str) -> str:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as response:
        return str(response.read().decode())


def status_of(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def relay(client: ClientConnection, message: str) -> str:
    client.send(json.dumps({"stream_id": "a", "message": message}))
    return str(json.loads(client.recv(timeout=PATIENCE))["response"])


def half_close(client: ClientConnection) -> int | None:
    client.send("")
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=PATIENCE)
    return caught.value.rcvd.code if caught.value.rcvd else None
